"""One device's door to Home Assistant: its port, who is connected there, and who answers it.

Carries out what the dialogue of each connection and the conversation (`voice`) decide.  Several
Home Assistants may be connected, and see and mute the device; the one that subscribed first
answers its commands, and when it goes the next one does.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from host_tools.errors import HostToolError
from host_tools.home import voice as voices
from host_tools.home import wishes
from host_tools.home.dialogue import Dialogue, Facts
from host_tools.home.entities import Shown, lost, phrase
from host_tools.home.identity import Identity
from host_tools.home.line import Closed, Line
from host_tools.home.messages import make
from host_tools.home.mouth import Mouth
from host_tools.home.voice import Voice
from host_tools.receiver.assistant import Host, Satellite, Status
from host_tools.receiver.transcription import clean

#: Connections to one device's port.
MAX_CONNECTIONS = 8
#: Of a Home Assistant's own name, or of what it says, in the view.
_MAX_TOLD = 200


@dataclass(eq=False)
class _Guest:
    """One connection."""

    line: Line
    dialogue: Dialogue
    may_answer: bool = False


class Door:
    """`open` listens; the rest is called in the event loop and returns at once."""

    def __init__(
        self, host: Host, name: str, identity: Identity, version: str, known: Status
    ) -> None:
        """`known` is the last status that the device told."""
        self._host = host
        self.name = name
        self.identity = identity
        self._facts = Facts(identity.name, f"Earnest {name}", identity.mac, version)
        self._shown = Shown(known=known)
        self._guests: list[_Guest] = []
        self._server: asyncio.Server | None = None
        self._mouth = Mouth(host, self._tell)
        self._stream = ""
        self._voice = Voice()
        self._answering: _Guest | None = None
        self._timer: asyncio.TimerHandle | None = None
        #: Whether somebody was there to get the audio of the newest stream.
        self.is_answered = False

    @property
    def port(self) -> int:
        """The port that it listens on; 0 before `open`."""
        return int(self._server.sockets[0].getsockname()[1]) if self._server else 0

    async def open(self, address: str, port: int) -> None:
        """Listen; raises HostToolError."""
        try:
            self._server = await asyncio.start_server(self._accept, address, port)
        except OSError as error:
            raise HostToolError(
                f"cannot listen for Home Assistant on {address} port {port}: {error.strerror}",
                "name another --home-port, or an address of this machine with --home-host",
            ) from error

    def close(self) -> None:
        """Listen no more, and hang up on everybody."""
        if self._server is not None:
            self._server.close()
        for guest in list(self._guests):
            guest.line.abort()
        self._disarm()

    def connected(self, satellite: Satellite) -> None:
        """The device is there."""
        self._mouth.satellite = satellite
        self._show(is_connected=True)
        self.status_changed()

    def disconnected(self) -> None:
        """The device is gone."""
        self._mouth.satellite = None
        self._set_shown(lost(self._shown))

    def status_changed(self) -> None:
        if self._mouth.satellite is not None:
            status = self._mouth.satellite.status
            self._show(status=status, known=status or self._shown.known)

    def sound_changed(self) -> None:
        if self._mouth.satellite is not None:
            self._show(is_speaking=self._mouth.satellite.is_speaking)

    def stream_started(self, stream: str, wake_word: str | None) -> None:
        """The device heard its wake word, and opened a stream."""
        wakes = self._shown.wakes + (wake_word is not None)
        self._show(is_streaming=True, wakes=wakes, streams=self._shown.streams + 1)
        self._stream = stream
        now_s = self._now_s()
        self.is_answered = self._answering is not None
        self._mouth.drop_reply()  # to an older stream, which the device answers no more
        if self.is_answered:
            self._carry_out(self._voice.wake(phrase(wake_word or ""), now_s))

    def stream_audio(self, audio: bytes) -> None:
        self._carry_out(self._voice.audio(audio))

    def stream_ended(self, is_complete: bool) -> None:
        self._show(is_streaming=False)
        ended = self._voice.end(self._now_s()) if is_complete else self._voice.abort()
        self._carry_out(ended)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._host.start(self._meet(reader, writer))

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection to its end."""
        line = Line(self.identity, reader, writer)
        guest = _Guest(line, Dialogue(self._facts, self._shown))
        try:
            self._make_room()
            self._guests.append(guest)
            await line.read(partial(self._handle, guest))
        except Closed as closed:
            self._tell("home-closed", address=line.address, reason=str(closed))
        finally:
            line.abort()
            self._leave(guest)

    def _make_room(self) -> None:
        """One too many ends the oldest that has not shown the key: a flood of those who cannot
        keeps nobody out who can.  Raises Closed when all have."""
        if len(self._guests) < MAX_CONNECTIONS:
            return
        for guest in self._guests:
            if not guest.line.is_known:
                guest.line.abort("too many connections")
                self._guests.remove(guest)
                return
        raise Closed("too many connections")

    def _leave(self, guest: _Guest) -> None:
        if guest in self._guests:
            self._guests.remove(guest)
        guest.may_answer = False
        self._choose()

    def _handle(self, guest: _Guest, message: Any) -> None:
        for action in guest.dialogue.handle(message):
            self._do(guest, action)

    def _do(self, guest: _Guest, action: wishes.Wish) -> None:
        is_answering = guest is self._answering
        match action:
            case voices.Send(message):
                guest.line.send(message)
            case voices.Refused(what):
                self._tell("home-refused", what=what)
            case wishes.HangUp():
                guest.line.hang_up("hung up")
            case wishes.Mute():
                self._mouth.ask("to mute", lambda satellite: satellite.mute())
            case wishes.SetVolume(percent):
                self._mouth.ask(
                    "to change its volume", lambda satellite: satellite.set_volume(percent)
                )
            case wishes.Subscribed(is_on):
                guest.may_answer = is_on
                self._choose()
            case wishes.Answered(is_error) if is_answering:
                self._carry_out(self._voice.answered(is_error, self._now_s()))
            case wishes.Told(kind, data) if is_answering:
                self._carry_out(self._voice.event(kind, data, self._now_s()))
            case wishes.ReplyAudio(audio) if is_answering:
                self._carry_out(self._voice.reply_audio(audio, self._now_s()))
            case wishes.Announce(urls):
                self._host.start(self._announce(guest, urls))
            case wishes.TimerEvent("FINISHED"):
                self._mouth.ask("to ring a timer", lambda satellite: satellite.chime("timer"))

    def _choose(self) -> None:
        """Let the guest that subscribed first answer, of those that are still there."""
        chosen = next((guest for guest in self._guests if guest.may_answer), None)
        if chosen is not self._answering:
            self._carry_out(self._voice.lost())
            self._answering = chosen
            if chosen is not None:
                client = clean(chosen.dialogue.client)[:_MAX_TOLD]
                self._tell("home-connected", client=client)

    def _carry_out(self, actions: list[voices.Action]) -> None:
        for action in actions:
            match action:
                case voices.Send(message):
                    if self._answering is not None:
                        self._answering.line.send(message)
                case voices.EndStream():
                    if self._mouth.satellite is not None:
                        self._mouth.satellite.end_stream(self._stream)
                case voices.Reply(audio):
                    self._mouth.reply(self._stream, self._played).put(audio)
                case voices.ReplyEnded():
                    self._mouth.reply(self._stream, self._played).end()
                case voices.Failed(reason, is_heard):
                    self._mouth.drop_reply()
                    self._tell("home-failed", reason=clean(reason)[:_MAX_TOLD])
                    if is_heard:
                        self._chime_error()
                case voices.Transcript(text):
                    self._tell("transcript", stream=self._stream, text=clean(text))
                case voices.Refused(what):
                    self._tell("home-refused", what=what)
        self._arm()

    def _chime_error(self) -> None:
        """Let the person know that no answer comes."""
        stream = self._stream
        self._mouth.ask("to chime", lambda satellite: satellite.chime("error", stream=stream))

    def _arm(self) -> None:
        """Wake up at the conversation's deadline."""
        self._disarm()
        if self._voice.deadline_s is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(self._voice.deadline_s, self._expire)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self) -> None:
        self._carry_out(self._voice.expired())

    def _played(self, is_whole: bool) -> None:
        """The device spoke the reply, or not all of it: tell Home Assistant."""
        self._carry_out(self._voice.played(is_whole))

    async def _announce(self, guest: _Guest, urls: tuple[str, ...]) -> None:
        is_whole = await self._mouth.announce(urls, guest.line.host)
        guest.line.send(make("VoiceAssistantAnnounceFinished", success=is_whole))

    def _show(self, **fields: Any) -> None:
        self._set_shown(replace(self._shown, **fields))

    def _set_shown(self, shown: Shown) -> None:
        if shown == self._shown:
            return
        self._shown = shown
        for guest in list(self._guests):
            for action in guest.dialogue.show(shown):
                self._do(guest, action)

    def _tell(self, event: str, **fields: object) -> None:
        self._host.emit(event, device=self.name, **fields)

    def _now_s(self) -> float:
        return asyncio.get_running_loop().time()
