"""From a device's own messages through the real receiver to Home Assistant's client, and back."""

from firmware.satellite import protocol
from host_tools.home.gateway import HomeGateway
from host_tools.home.identity import IdentityBook
from host_tools.receiver.devices import DeviceList
from host_tools.receiver.statuses import Statuses
from tests.fakes.home import FakeHome, until
from tests.fakes.receivers import FORM, SPEECH, STREAM, Device, new_device, serving, streams_of

ANSWER = SPEECH[:20000]


async def connected(gateway, book, id):
    await until(lambda: id in gateway.doors)
    home = FakeHome(gateway.doors[id].port, book.of(id).key_text)
    await home.connect()
    home.answer()
    await home.client.device_info()
    return home


def test_a_conversation(tmp_path):
    data = tmp_path / "receiver"
    folder = new_device(data, "kitchen")
    devices = DeviceList(data / "devices.json")
    book = IdentityBook(data)
    gateway = HomeGateway(book, devices, Statuses(data), "127.0.0.1", 0)
    id = devices.named("kitchen").id
    with serving(data, gateway) as here, Device(here.port, folder) as device:
        device.tell_status(timers=True, announcements=True)
        here.wait("status")
        home = here.call(connected(gateway, book, id))
        device.consent()
        device.send(protocol.DETECTION, {"name": "okay_nabu"})
        device.send(protocol.AUDIO_START, FORM)
        device.audio(SPEECH)
        device.send(protocol.AUDIO_STOP)
        here.call(until(lambda: home.is_audio_over))
        assert home.started == ["Okay Nabu"] and home.audio == SPEECH

        here.loop.call_soon_threadsafe(home.reply, ANSWER)
        asked = device.accept()
        assert (asked["kind"], asked["stream"]) == ("reply", STREAM)
        device.expect(protocol.AUDIO_START)
        heard = b""
        while (event := device.next()).type == protocol.AUDIO_CHUNK:
            heard += event.payload
        assert event.type == protocol.AUDIO_STOP and heard == ANSWER
        assert home.finished == [], "told only when it has really sounded"
        here.call(until(lambda: home.states["Light"] == "white, speaking"))
        device.send(protocol.PLAYED, {"id": asked["id"], "ms": len(heard) // 32, "why": "end"})
        here.call(until(lambda: home.finished == [True]))
        here.call(until(lambda: home.states["Light"] == "green, listening"))

        here.loop.call_soon_threadsafe(home.client.button_command, 2)
        device.expect(protocol.MUTE)
        device.tell_status(timers=True, announcements=True, muted=True, listening=False)
        here.call(until(lambda: home.states["Light"] == "red, muted"))
        here.loop.call_soon_threadsafe(home.client.number_command, 5, 100.0)
        assert device.expect(protocol.VOLUME).data == {"percent": 100}
        device.socket.close()
        here.call(until(lambda: home.states["Connection"] is False))
        here.call(home.close())
        assert [row.fates for row in streams_of(data, 1)] == [("home",)]
    assert not [told for told in here.told if told["event"] == "assistant-failed"]


def test_home_assistant_ends_the_devices_stream(tmp_path):
    data = tmp_path / "receiver"
    folder = new_device(data, "kitchen")
    devices = DeviceList(data / "devices.json")
    book = IdentityBook(data)
    gateway = HomeGateway(book, devices, Statuses(data), "127.0.0.1", 0)
    with serving(data, gateway) as here, Device(here.port, folder) as device:
        device.tell_status()
        here.wait("status")
        home = here.call(connected(gateway, book, devices.named("kitchen").id))
        device.consent()
        device.send(protocol.AUDIO_START, FORM)
        device.audio(SPEECH)
        here.call(until(lambda: home.audio == SPEECH))
        here.loop.call_soon_threadsafe(home.tell, "STT_VAD_END")
        assert device.expect(protocol.STOP).data == {"stream": STREAM}
        here.call(home.close())
