"""The gateway as Home Assistant sees it: its own client library drives every dialogue."""

import asyncio

import pytest
from aioesphomeapi import APIConnectionError, InvalidEncryptionKeyAPIError
from aioesphomeapi.core import RequiresEncryptionAPIError
from aioesphomeapi.model import VoiceAssistantTimerEventType

from host_tools.home import door as doors
from host_tools.home import gateway, line, mouth, voice
from host_tools.home.announcement import AnnouncementError
from host_tools.receiver.authority import open_or_make
from tests.fakes.home import STREAM, FakeHome, answering, house, until

SPEECH = bytes(range(256)) * 40
ANSWER = bytes(range(255, -1, -1)) * 60 + b"\1\2"
PHRASE = "Okay Nabu"


def run(dialogue):
    """Run the coroutine function in a loop of its own."""
    asyncio.run(asyncio.wait_for(dialogue, 30))


def test_home_assistant_sees_the_device_and_nothing_that_could_unmute_it(tmp_path):
    async def dialogue():
        async with house(tmp_path, "kitchen") as here:
            here.connect("kitchen")
            home = here.home("kitchen")
            info = await home.connect()
            identity = here.book.of(here.id("kitchen"))
            assert info.mac_address == identity.mac
            assert info.friendly_name == "Earnest kitchen" and info.name == identity.name
            assert info.voice_assistant_feature_flags == 31
            assert info.api_encryption_supported
            listed, services = await home.client.list_entities_services()
            kinds = {entity.name: type(entity).__name__ for entity in listed}
            assert kinds == {
                "Muted": "BinarySensorInfo",
                "Mute": "ButtonInfo",
                "Light": "TextSensorInfo",
                "Consent": "TextSensorInfo",
                "Volume": "NumberInfo",
                "Wake word": "TextSensorInfo",
                "Connection": "BinarySensorInfo",
                "Firmware": "TextSensorInfo",
                "Wakes": "SensorInfo",
                "Streams": "SensorInfo",
            }
            assert services == []
            await until(lambda: len(home.states) == 9)
            assert home.states == {
                "Muted": False,
                "Light": "green, listening",
                "Consent": "keep nothing",
                "Volume": 60.0,
                "Wake word": PHRASE,
                "Connection": True,
                "Firmware": "0.1",
                "Wakes": 0.0,
                "Streams": 0.0,
            }
            await home.close()

    run(dialogue())


def test_a_wrong_key_and_plain_text_are_refused_as_home_assistant_understands(tmp_path):
    async def dialogue():
        async with house(tmp_path, "kitchen", "hall") as here:
            here.connect("kitchen")
            wrong = here.home("kitchen", here.book.of(here.id("hall")).key_text)
            with pytest.raises(InvalidEncryptionKeyAPIError):
                await wrong.connect()
            plain = FakeHome(here.door("kitchen").port, None)
            with pytest.raises(RequiresEncryptionAPIError):
                await plain.connect()
            right = here.home("kitchen")
            await right.connect()
            await right.close()
            reasons = [told["reason"] for told in here.host.events("home-closed")]
            assert reasons[:2] == ["a wrong key", "plain text"]

    run(dialogue())


def test_a_command_and_its_spoken_answer(tmp_path):
    async def dialogue():
        async with house(tmp_path, "kitchen") as here:
            satellite = here.connect("kitchen")
            satellite.is_quiet.clear()
            async with answering(here.home("kitchen")) as home:
                here.say("kitchen", SPEECH[:2048], SPEECH[2048:5000])
                await until(lambda: home.started == [PHRASE])
                here.gateway.stream_audio(satellite, STREAM, SPEECH[5000:])
                here.end("kitchen")
                await until(lambda: home.is_audio_over)
                assert home.audio == SPEECH and home.stops == [False]
                assert home.states["Streams"] == home.states["Wakes"] == 1.0
                home.reply(ANSWER)
                await until(lambda: satellite.spoken == [("reply", ANSWER)])
                assert satellite.asked == [("reply", STREAM)]
                assert home.finished == [], "the reply has not sounded yet"
                satellite.is_quiet.set()
                await until(lambda: home.finished == [True])
                assert here.host.events("transcript")[0]["text"] == "what was said"

    run(dialogue())


def test_home_assistant_ends_the_stream_when_it_heard_enough(tmp_path):
    async def dialogue():
        async with house(tmp_path, "kitchen") as here:
            satellite = here.connect("kitchen")
            async with answering(here.home("kitchen")) as home:
                here.say("kitchen", SPEECH)
                await until(lambda: home.audio == SPEECH)
                home.tell("STT_VAD_END")
                await until(lambda: satellite.asked == [("end", STREAM)])
                here.gateway.stream_audio(satellite, STREAM, b"more")
                here.end("kitchen")
                home.reply(ANSWER)
                await until(lambda: home.finished == [True])
                assert satellite.spoken == [("reply", ANSWER)]
                assert home.audio == SPEECH and home.stops == []

    run(dialogue())


def test_a_stream_that_breaks_off_is_aborted_and_not_answered(tmp_path):
    async def dialogue():
        async with house(tmp_path, "kitchen") as here:
            satellite = here.connect("kitchen")
            async with answering(here.home("kitchen")) as home:
                here.say("kitchen", SPEECH)
                await until(lambda: home.audio == SPEECH)
                here.end("kitchen", is_complete=False)
                await until(lambda: home.stops == [True])
                home.reply(ANSWER)
                await home.client.device_info()
                assert satellite.spoken == [] and home.finished == []

    run(dialogue())


def test_two_devices_hear_one_word_and_one_answers(tmp_path):
    async def dialogue():
        async with house(tmp_path, "kitchen", "hall") as here:
            kitchen, hall = here.connect("kitchen"), here.connect("hall")
            async with answering(here.home("kitchen")) as one, answering(here.home("hall")) as two:
                here.say("kitchen", SPEECH)
                here.say("hall", SPEECH, stream="fedcba9876543210")
                await until(lambda: one.started and two.started)
                two.tell("ERROR", code="duplicate_wake_up_detected", message="already woken")
                await until(lambda: hall.asked == [("end", "fedcba9876543210")])
                here.end("hall", stream="fedcba9876543210")
                here.end("kitchen")
                one.reply(ANSWER)
                await until(lambda: one.finished == [True])
                assert kitchen.spoken == [("reply", ANSWER)]
                assert hall.spoken == [] and two.finished == []
                assert ("chime", "error", STREAM) not in hall.asked

    run(dialogue())


def test_an_error_chimes_so_that_the_person_knows(tmp_path):
    async def dialogue():
        async with house(tmp_path, "kitchen") as here:
            satellite = here.connect("kitchen")
            async with answering(here.home("kitchen")) as home:
                here.say("kitchen", SPEECH)
                await until(lambda: home.audio == SPEECH)
                here.end("kitchen")
                home.tell("ERROR", code="stt-provider-missing", message="\x1b[31mno engine")
                await until(lambda: ("chime", "error", STREAM) in satellite.asked)
                (told,) = here.host.events("home-failed")
                assert told["reason"] == "stt-provider-missing: [31mno engine"

    run(dialogue())


def test_an_empty_reply_says_nothing_and_the_next_command_is_heard(tmp_path):
    async def dialogue():
        async with house(tmp_path, "kitchen") as here:
            satellite = here.connect("kitchen")
            async with answering(here.home("kitchen")) as home:
                for stream in (STREAM, "fedcba9876543210"):
                    here.say("kitchen", SPEECH, stream=stream)
                    await until(lambda: home.audio.endswith(SPEECH))
                    here.end("kitchen", stream=stream)
                    home.tell("STT_END", text="never mind")
                    home.tell("RUN_END")
                    await home.client.device_info()
                assert home.started == [PHRASE] * 2
                here.say("kitchen", SPEECH, stream="0" * 16)
                await until(lambda: len(home.started) == 3)
                here.end("kitchen", stream="0" * 16)
                home.reply(b"")
                await until(lambda: home.finished == [True])
                assert satellite.spoken == [("reply", b"")]
                assert not here.host.events("home-failed")

    run(dialogue())


def test_home_assistant_dies_in_mid_reply(tmp_path):
    async def dialogue():
        async with house(tmp_path, "kitchen") as here:
            satellite = here.connect("kitchen")
            async with answering(here.home("kitchen")) as home:
                here.say("kitchen", SPEECH)
                await until(lambda: home.started)
                here.end("kitchen")
                home.tell("TTS_STREAM_START")
                home.client.send_voice_assistant_audio(ANSWER[:1024])
                await until(lambda: satellite.spoken == [("reply", ANSWER[:1024])])
                home.client._connection.force_disconnect()
            await until(lambda: here.host.events("home-closed"))
            async with answering(here.home("kitchen")) as home:
                here.say("kitchen", SPEECH)
                await until(lambda: home.audio == SPEECH)
                here.end("kitchen")
                home.reply(ANSWER)
                await until(lambda: satellite.spoken[1:] == [("reply", ANSWER)])

    run(dialogue())


def test_what_a_home_assistant_that_died_left_unspoken_is_in_nobodys_way(tmp_path):
    other = "fedcba9876543210"

    async def dialogue():
        async with house(tmp_path, "kitchen") as here:
            satellite = here.connect("kitchen")
            satellite.is_quiet.clear()
            async with answering(here.home("kitchen")) as home:
                here.say("kitchen", SPEECH)
                await until(lambda: home.started)
                here.end("kitchen")
                home.tell("TTS_STREAM_START")
                home.client.send_voice_assistant_audio(ANSWER[:1024])
                await until(lambda: satellite.spoken == [("reply", ANSWER[:1024])])
                home.client._connection.force_disconnect()
            await until(lambda: here.host.events("home-closed"))
            async with answering(here.home("kitchen")) as home:
                here.say("kitchen", SPEECH, stream=other)  # the old reply still waits
                await until(lambda: home.audio == SPEECH)
                here.end("kitchen", stream=other)
                satellite.is_quiet.set()
                home.reply(ANSWER)
                await until(lambda: home.finished == [True])
                assert satellite.asked == [("reply", STREAM), "cancelled", ("reply", other)]
                assert satellite.spoken[1] == ("reply", ANSWER)

    run(dialogue())


def test_home_assistant_dies_while_it_listens(tmp_path):
    async def dialogue():
        async with house(tmp_path, "kitchen") as here:
            satellite = here.connect("kitchen")
            async with answering(here.home("kitchen")) as home:
                here.say("kitchen", SPEECH)
                await until(lambda: home.audio == SPEECH)
            await until(lambda: ("chime", "error", STREAM) in satellite.asked)
            here.end("kitchen")
            here.say("kitchen", SPEECH)
            here.end("kitchen")
            assert satellite.spoken == []

    run(dialogue())


def test_of_two_home_assistants_the_first_answers_and_then_the_second(tmp_path):
    async def dialogue():
        async with house(tmp_path, "kitchen") as here:
            satellite = here.connect("kitchen")
            second = here.home("kitchen")
            async with answering(here.home("kitchen")) as first:
                await second.connect()
                second.answer()
                second.client.button_command(2)
                await until(lambda: satellite.asked == ["mute"])
                here.say("kitchen", SPEECH)
                await until(lambda: first.audio == SPEECH)
                here.end("kitchen")
                second.reply(b"intruder")
                await second.client.device_info()
                first.tell("TTS_STREAM_START")
                first.client.send_voice_assistant_audio(ANSWER)
                await until(lambda: satellite.spoken)
                second.client.send_voice_assistant_audio(b"intruder")
                await second.client.device_info()
                first.tell("TTS_STREAM_END")
                await until(lambda: first.finished == [True])
                assert satellite.spoken == [("reply", ANSWER)]
                assert second.started == [] and second.audio == b""
            await until(lambda: len(here.host.events("home-connected")) == 2)
            here.say("kitchen", SPEECH)
            await until(lambda: second.audio == SPEECH)
            await second.close()

    run(dialogue())


def test_eight_devices_at_once(tmp_path):
    names = [f"room{n}" for n in range(8)]

    async def dialogue():
        async with house(tmp_path, *names) as here:
            homes = []
            for name in names:
                here.connect(name)
                homes.append(here.home(name))
                await homes[-1].connect()
                homes[-1].answer()
            await until(lambda: len(here.host.events("home-connected")) == 8)
            for name in names:
                here.say(name, name.encode() * 2, SPEECH)
                here.end(name)
            for name, home in zip(names, homes, strict=True):
                await until(lambda home=home: home.is_audio_over)
                assert home.audio == name.encode() * 2 + SPEECH
                home.reply(name.encode() * 4)
            for name, home in zip(names, homes, strict=True):
                await until(lambda home=home: home.finished == [True])
                assert here.satellites[name].spoken == [("reply", name.encode() * 4)]
                await home.close()

    run(dialogue())


def test_a_new_command_ends_the_reply_to_the_one_before(tmp_path):
    async def dialogue():
        async with house(tmp_path, "kitchen") as here:
            satellite = here.connect("kitchen")
            async with answering(here.home("kitchen")) as home:
                here.say("kitchen", SPEECH)
                await until(lambda: home.started)
                here.end("kitchen")
                satellite.is_quiet.clear()
                home.tell("TTS_STREAM_START")
                home.client.send_voice_assistant_audio(ANSWER)
                await until(lambda: satellite.spoken)
                here.say("kitchen", SPEECH, stream="fedcba9876543210")
                await until(lambda: len(home.started) == 2)
                assert home.stops[-1] is True
                satellite.is_quiet.set()
                here.end("kitchen", stream="fedcba9876543210")
                home.reply(ANSWER)
                await until(lambda: home.finished == [True])
                other = ("reply", "fedcba9876543210")
                assert satellite.asked == [("reply", STREAM), "cancelled", other]
                assert satellite.spoken[1] == ("reply", ANSWER)

    run(dialogue())


def test_what_contradicts_the_promises_is_refused_and_told(tmp_path):
    async def dialogue():
        async with house(tmp_path, "kitchen") as here:
            satellite = here.connect("kitchen", words=("okay_nabu", "hey_jarvis"))
            async with answering(here.home("kitchen")) as home:
                configuration = await home.client.get_voice_assistant_configuration(5)
                offered = [word.wake_word for word in configuration.available_wake_words]
                assert offered == [PHRASE, "Hey Jarvis"]
                assert configuration.active_wake_words == ["okay_nabu", "hey_jarvis"]
                await home.client.set_voice_assistant_configuration(["hey_jarvis"])
                again = await home.client.get_voice_assistant_configuration(5)
                assert again == configuration
                done = await home.client.send_voice_assistant_announcement_await_response(
                    "http://127.0.0.1:1/a.wav", 5, "hello", start_conversation=True
                )
                assert not done.success
                here.say("kitchen", SPEECH, word="hey_jarvis")
                await until(lambda: home.started == ["Hey Jarvis"])
                home.tell("INTENT_END", continue_conversation="1")
                await until(lambda: len(here.host.events("home-refused")) == 3)
                refused = [told["what"] for told in here.host.events("home-refused")]
                assert refused == [
                    "to choose the wake words",
                    "to listen without a wake word (start_conversation)",
                    "to listen on without a wake word (continue_conversation)",
                ]
                assert satellite.asked == []

    run(dialogue())


def test_mute_volume_and_a_timer_reach_the_device(tmp_path):
    async def dialogue():
        async with house(tmp_path, "kitchen") as here:
            satellite = here.connect("kitchen")
            async with answering(here.home("kitchen")) as home:
                home.client.button_command(2)
                home.client.button_command(1)  # no button
                home.client.number_command(5, 40.0)
                for wrong in (101.0, -1.0, float("nan"), float("inf")):
                    home.client.number_command(5, wrong)
                for kind in ("STARTED", "UPDATED", "CANCELLED", "FINISHED"):
                    home.client.send_voice_assistant_timer_event(
                        VoiceAssistantTimerEventType["VOICE_ASSISTANT_TIMER_" + kind],
                        *("id", "pizza", 4, 0, False),
                    )
                await home.client.device_info()
                wanted = ["mute", ("volume", 40), ("chime", "timer", None)]
                await until(lambda: satellite.asked == wanted)

    run(dialogue())


def test_an_announcement_is_fetched_from_home_assistant_and_spoken(tmp_path, monkeypatch):
    fetched = []

    def samples_of(url, peer):
        fetched.append((url, peer))
        if url.endswith("bad"):
            raise AnnouncementError("it is larger than 4 MiB")
        return url[-2:].encode()

    monkeypatch.setattr(mouth, "samples_of", samples_of)

    async def dialogue():
        async with house(tmp_path, "kitchen") as here:
            satellite = here.connect("kitchen")
            async with answering(here.home("kitchen")) as home:
                announce = home.client.send_voice_assistant_announcement_await_response
                done = await announce(
                    "http://x/01", 5, "hello", preannounce_media_id="http://x/00"
                )
                assert done.success and satellite.spoken == [("announcement", b"0001")]
                assert fetched == [("http://x/00", "127.0.0.1"), ("http://x/01", "127.0.0.1")]
                assert not (await announce("http://x/bad", 5, "hello")).success
                satellite.refuses = "off"
                assert not (await announce("http://x/01", 5, "hello")).success
                (told,) = here.host.events("home-cannot")
                assert told["reason"] == "it is larger than 4 MiB"

    run(dialogue())


def test_one_announcement_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(mouth, "samples_of", lambda url, peer: b"12")

    async def dialogue():
        async with house(tmp_path, "kitchen") as here:
            satellite = here.connect("kitchen")
            satellite.is_quiet.clear()
            one, two = here.home("kitchen"), here.home("kitchen")
            async with answering(one), answering(two):
                announce = one.client.send_voice_assistant_announcement_await_response
                first = asyncio.create_task(announce("http://x/1", 5, "one"))
                await until(lambda: satellite.spoken)
                announce = two.client.send_voice_assistant_announcement_await_response
                assert not (await announce("http://x/2", 5, "two")).success
                satellite.is_quiet.set()
                assert (await first).success and len(satellite.spoken) == 1

    run(dialogue())


def test_the_light_is_white_while_it_speaks_whoever_asked(tmp_path):
    async def dialogue():
        async with house(tmp_path, "kitchen") as here:
            satellite = here.connect("kitchen")
            home = here.home("kitchen")
            await home.connect()
            await until(lambda: home.states.get("Light") == "green, listening")
            for is_speaking, light in ((True, "white, speaking"), (False, "green, listening")):
                satellite.is_speaking = is_speaking
                here.gateway.sound_changed(satellite)
                await until(lambda light=light: home.states["Light"] == light)
            await home.close()

    run(dialogue())


def test_status_is_shown_and_a_device_that_is_gone_has_none(tmp_path):
    async def dialogue():
        async with house(tmp_path, "kitchen") as here:
            satellite = here.connect("kitchen")
            home = here.home("kitchen")
            await home.connect()
            satellite.status = type(satellite.status)(
                **{**vars(satellite.status), "muted": True, "keep_recordings": True, "volume": 80}
            )
            here.gateway.status_changed(satellite)
            await until(lambda: home.states.get("Volume") == 80.0)
            assert home.states["Muted"] is True and home.states["Light"] == "red, muted"
            assert home.states["Consent"] == "keep recordings"
            here.gateway.disconnected(satellite)
            await until(lambda: home.states["Connection"] is False)
            for name in ("Muted", "Light", "Consent", "Volume", "Wake word", "Firmware"):
                assert home.states[name] is None, name
            home.client.button_command(2)
            await until(lambda: here.host.events("home-cannot"))
            assert satellite.asked == []
            told, satellite.status = satellite.status, None
            here.gateway.connected(satellite)
            await until(lambda: home.states["Connection"] is True)
            assert home.states["Muted"] is None, "it has not told yet"
            satellite.status = told
            here.gateway.status_changed(satellite)
            await until(lambda: home.states["Muted"] is True)
            await home.close()

    run(dialogue())


@pytest.mark.parametrize(
    "changes, flags",
    [
        ({"timers": False}, 23),
        ({"announcements": False}, 15),
        ({"timers": False, "announcements": False}, 7),
        ({"speaker": False}, 5),
    ],
)
def test_only_what_the_owner_allows_is_offered(tmp_path, changes, flags):
    async def dialogue():
        async with house(tmp_path, "kitchen") as here:
            satellite = here.connect("kitchen")
            home = here.home("kitchen")
            await home.connect()
            satellite.status = type(satellite.status)(**{**vars(satellite.status), **changes})
            here.gateway.status_changed(satellite)
            await until(lambda: home.client._connection is None)
            here.gateway.disconnected(satellite)
            again = here.home("kitchen")
            info = await again.connect()
            assert info.voice_assistant_feature_flags == flags, "also while the device is gone"
            here.gateway.connected(satellite)
            await until(lambda: again.states.get("Connection") is True)
            await again.client.device_info()
            await again.close()

    run(dialogue())


def test_a_device_that_refuses_to_speak_is_not_waited_for(tmp_path):
    async def dialogue():
        async with house(tmp_path, "kitchen") as here:
            here.connect("kitchen").refuses = "muted"
            async with answering(here.home("kitchen")) as home:
                here.say("kitchen", SPEECH)
                await until(lambda: home.started)
                here.end("kitchen")
                home.reply(ANSWER)
                await until(lambda: home.finished == [False])

    run(dialogue())


def test_nobody_is_waited_for_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(voice, "REPLY_S", 0.05)

    async def dialogue():
        async with house(tmp_path, "kitchen") as here:
            satellite = here.connect("kitchen")
            async with answering(here.home("kitchen")) as home:
                here.say("kitchen", SPEECH)
                await until(lambda: home.started)
                here.end("kitchen")
                await until(lambda: ("chime", "error", STREAM) in satellite.asked)
                await until(lambda: home.stops == [False, True])

    run(dialogue())


def test_who_does_not_finish_the_handshake_is_hung_up_on(tmp_path, monkeypatch):
    monkeypatch.setattr(line, "HANDSHAKE_S", 0.1)

    async def dialogue():
        async with house(tmp_path, "kitchen") as here:
            reader, writer = await asyncio.open_connection("127.0.0.1", here.door("kitchen").port)
            writer.write(b"\x01\0\0")
            answer = await asyncio.wait_for(reader.read(), 5)
            assert answer.startswith(b"\x01\0") and b"earnest-" in answer
            await until(lambda: here.host.events("home-closed"))
            assert here.host.events("home-closed")[0]["reason"] == "it fell silent"
            writer.close()

    run(dialogue())


def test_a_flood_of_connections_is_bounded_and_keeps_nobody_out(tmp_path, monkeypatch):
    monkeypatch.setattr(doors, "MAX_CONNECTIONS", 2)

    async def dialogue():
        async with house(tmp_path, "kitchen") as here:
            port = here.door("kitchen").port
            pairs = [await asyncio.open_connection("127.0.0.1", port) for _ in range(5)]
            await until(lambda: len(here.host.events("home-closed")) == 3)
            first, second = here.home("kitchen"), here.home("kitchen")
            await first.connect()
            await second.connect()
            await until(lambda: len(here.host.events("home-closed")) == 5)
            reasons = {told["reason"] for told in here.host.events("home-closed")}
            assert reasons == {"too many connections"}
            with pytest.raises(APIConnectionError):
                await here.home("kitchen").connect()
            await first.client.device_info()
            await second.client.device_info()
            await first.close()
            await second.close()
            for _, writer in pairs:
                writer.close()

    run(dialogue())


def test_a_device_that_is_removed_or_renamed_or_gets_a_new_key(tmp_path, monkeypatch):
    monkeypatch.setattr(gateway, "LOOK_S", 0.02)

    async def dialogue():
        async with house(tmp_path, "kitchen", "hall") as here:
            hall = here.id("hall")
            here.connect("kitchen")
            old = here.home("kitchen")
            await old.connect()
            here.book.renew_key(here.id("kitchen"))
            await until(lambda: old.client._connection is None)
            await until(lambda: len(here.gateway.doors) == 2)
            with pytest.raises(InvalidEncryptionKeyAPIError):
                await FakeHome(here.door("kitchen").port, old.client._params.noise_psk).connect()
            new = here.home("kitchen")
            await new.connect()
            await until(lambda: new.states.get("Connection") is True)
            await new.close()
            here.list.remove("hall")
            await until(lambda: hall not in here.gateway.doors)
            here.list.rename("kitchen", "study")
            await until(lambda: here.host.events("home-offered")[-1]["device"] == "study")
            study = here.home("study")
            assert (await study.connect()).friendly_name == "Earnest study"
            await study.close()

    run(dialogue())


def test_a_port_that_is_taken_is_told_and_the_receiver_goes_on(tmp_path):
    async def dialogue():
        async with house(tmp_path, "kitchen") as here:
            here.gateway._port = here.door("kitchen").port - 1
            other = type(here)(tmp_path / "other", ["hall"])
            other.gateway._port = here.door("kitchen").port
            other.gateway.begin(other.host)
            await until(lambda: other.host.events("warning"))
            message = other.host.events("warning")[0]["message"]
            assert message.startswith("cannot listen for Home Assistant on 127.0.0.1 port")
            assert "--home-port" in message
            await other.close()

    run(dialogue())


def test_who_does_not_read_is_hung_up_on(tmp_path, monkeypatch):
    monkeypatch.setattr(line, "MAX_UNREAD_BYTES", 20000)

    async def dialogue():
        async with house(tmp_path, "kitchen") as here:
            satellite = here.connect("kitchen")
            async with answering(here.home("kitchen")) as home:
                here.say("kitchen", SPEECH)
                await until(lambda: home.audio == SPEECH)
                for _ in range(300):  # at once: nobody in this loop has time to read
                    here.gateway.stream_audio(satellite, STREAM, bytes(32000))
                await until(lambda: here.host.events("home-closed"))
                (closed,) = here.host.events("home-closed")
                assert closed["reason"] in ("it does not read what it is sent", "lost")

    run(dialogue())


def test_a_new_device_is_offered_once_it_has_told_its_status(tmp_path, monkeypatch):
    monkeypatch.setattr(gateway, "LOOK_S", 60.0)

    async def dialogue():
        async with house(tmp_path, "kitchen") as here:
            here.list.add("hall", open_or_make(tmp_path / "authority"), tmp_path / "hall")
            hall = here.connect("hall")
            hall.status = None
            here.gateway.status_changed(hall)
            here.connect("kitchen")
            await asyncio.sleep(0.05)
            assert len(here.gateway.doors) == 1
            hall.status = here.satellites["kitchen"].status
            here.gateway.status_changed(hall)
            await until(lambda: len(here.gateway.doors) == 2)
            home = here.home("hall")
            info = await home.connect()
            assert info.voice_assistant_feature_flags == 31
            await until(lambda: home.states.get("Muted") is False)
            await home.close()

    run(dialogue())
