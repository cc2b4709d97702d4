"""For tests of the Home Assistant gateway: the receiver and its devices of few lines, and Home
Assistant's own client as a Home Assistant of few lines."""

import asyncio
from contextlib import asynccontextmanager

from aioesphomeapi import APIClient
from aioesphomeapi.model import VoiceAssistantEventType

from host_tools.home.gateway import HomeGateway
from host_tools.home.identity import IdentityBook
from host_tools.receiver.authority import open_or_make
from host_tools.receiver.devices import DeviceList
from host_tools.receiver.statuses import Statuses, ToldStatus
from tests.fakes.satellites import SOON_S, STREAM, FakeHost, FakeSatellite, status, until


class FakeHome:
    """A Home Assistant: Home Assistant's own client, and what it heard."""

    def __init__(self, port, key):
        self.client = APIClient("127.0.0.1", port, None, noise_psk=key, client_info="Home Test")
        self.started = []
        self.stops = []
        self.audio = b""
        self.is_audio_over = False
        self.finished = []
        self.states = {}
        self.port_answer = 0

    async def connect(self):
        await asyncio.wait_for(self.client.connect(login=True), SOON_S)
        info = await self.client.device_info()
        listed, _ = await self.client.list_entities_services()
        self.names = {entity.key: entity.name for entity in listed}
        self.client.subscribe_states(self._state)
        return info

    def answer(self):
        """Answer commands from now on; returns what ends it."""
        return self.client.subscribe_voice_assistant(
            handle_start=self._start,
            handle_stop=self._stop,
            handle_audio=self._audio,
            handle_announcement_finished=self._finished,
        )

    def tell(self, kind, **data):
        self.client.send_voice_assistant_event(
            VoiceAssistantEventType["VOICE_ASSISTANT_" + kind], data
        )

    def reply(self, audio):
        """The events and the audio of a spoken answer, in Home Assistant's own order."""
        self.tell("STT_END", text="what was said")
        self.tell("INTENT_END", conversation_id="1", continue_conversation="0")
        self.tell("TTS_START", text="the answer")
        self.tell("TTS_STREAM_START")
        self.tell("TTS_END", url="http://127.0.0.1/x.wav")
        self.tell("RUN_END")
        for at in range(0, len(audio), 1024):
            self.client.send_voice_assistant_audio(audio[at : at + 1024])
        self.tell("TTS_STREAM_END")

    async def close(self):
        await self.client.disconnect(force=True)

    def _state(self, state):
        is_known = not getattr(state, "missing_state", False)
        self.states[self.names[state.key]] = state.state if is_known else None

    async def _start(self, conversation_id, flags, settings, phrase):
        self.started.append(phrase)
        return self.port_answer

    async def _stop(self, is_abort):
        self.stops.append(is_abort)
        self.is_audio_over = self.is_audio_over or not is_abort

    async def _audio(self, data, data2=None):
        self.audio += data

    async def _finished(self, message):
        self.finished.append(message.success)


class House:
    """The gateway with some devices, on ports of its own."""

    def __init__(self, folder, names, neighbours=None):
        self.folder = folder
        self.list = DeviceList(folder / "devices.json")
        signer = open_or_make(folder / "authority")
        for name in names:
            self.list.add(name, signer, folder / name)
            Statuses(folder).keep(self.id(name), ToldStatus(status(), 0.0))
        self.book = IdentityBook(folder)
        self.gateway = HomeGateway(
            self.book, self.list, Statuses(folder), "127.0.0.1", 0, neighbours
        )
        self.host = FakeHost()
        self.satellites = {}

    def id(self, name):
        return self.list.named(name).id

    def door(self, name):
        return self.gateway.doors[self.id(name)]

    async def begin(self):
        self.gateway.begin(self.host)
        await until(lambda: len(self.gateway.doors) == len(self.list.all()))

    def connect(self, name, **changes):
        """The device connects to the receiver."""
        satellite = self.satellites[name] = FakeSatellite(self.id(name), name, **changes)
        self.gateway.connected(satellite)
        return satellite

    def home(self, name, key=None):
        key = key or self.book.of(self.id(name)).key_text
        return FakeHome(self.door(name).port, key)

    def say(self, name, *audio, stream=STREAM, word="okay_nabu"):
        """The device heard its wake word; this is what was said after it."""
        satellite = self.satellites[name]
        self.gateway.stream_started(satellite, stream, word)
        for piece in audio:
            self.gateway.stream_audio(satellite, stream, piece)

    def end(self, name, is_complete=True, stream=STREAM):
        self.gateway.stream_ended(self.satellites[name], stream, is_complete)

    async def close(self):
        for task in list(self.host.tasks):
            task.cancel()
        await asyncio.gather(*self.host.tasks, return_exceptions=True)
        await asyncio.sleep(0.01)  # for the connections to close


@asynccontextmanager
async def house(folder, *names, **options):
    made = House(folder, names, **options)
    try:
        await made.begin()
        yield made
    finally:
        await made.close()


@asynccontextmanager
async def answering(home):
    """A Home Assistant that is connected and answers commands."""
    await home.connect()
    try:
        home.answer()
        await home.client.device_info()  # so that the gateway knows
        yield home
    finally:
        await home.close()
