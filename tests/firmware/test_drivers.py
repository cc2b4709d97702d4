"""The drivers on a chip that behaves: order, read-back, faults, no allocation.

The chip is tests/fakes: real classes with the state of every wire.  Each test starts a new one.
"""

import asyncio
import sys

import micropython

sys.path.insert(0, "tests/fakes")

import machine
import neopixel
import network
from drivers import hardware
from drivers import microphone_health as health
from drivers.clock import Clock
from drivers.controls import Controls
from drivers.i2s_microphone import I2SMicrophone
from drivers.lights import APA102Light, NeoPixelLight, PWMLight
from drivers.pcm import RIGHT
from drivers.watchdog import Watchdog, reset_reason
from drivers.wifi import Wifi
from machine import Pin, world

SCK, WS, SD, SUPPLY, SENSE = 4, 5, 6, 7, 8


def microphone(**settings):
    """A new chip with a microphone that hears a ramp on the left."""
    machine.reset()
    world.sound = lambda n: ((n % 20000 - 10000) << 14, 0)
    return I2SMicrophone(SCK, WS, SD, settle_ms=0, ticks_ms=world.ticks_ms, **settings)


def read(mic, chunk):
    """One chunk, the time running until it is there."""
    for _ in range(200):
        if mic.try_read(chunk):
            return
        world.sleep_ms(1)
    raise AssertionError("no chunk within 200 ms")


def refuses(call, *arguments):
    """Whether the call raises OSError."""
    try:
        call(*arguments)
    except OSError:
        return True
    return False


def test_samples_arrive_in_order_and_none_is_missing():
    mic = microphone()
    mic.start()
    previous = None
    chunk = bytearray(320)
    values = []
    for _ in range(50):
        read(mic, chunk)
        values.extend(
            (chunk[i] | chunk[i + 1] << 8) - (chunk[i + 1] >> 7 << 16) for i in range(0, 320, 2)
        )
    assert len(values) == 8000
    for i in range(2000, 8000):  # a ramp less its slowly following mean rises by about one
        previous = values[i - 1]
        assert 0 <= values[i] - previous <= 1, (i, previous, values[i])
    assert mic.overruns == 0 and mic.worst_behind_ms <= 20 and mic.health() == health.OK


def test_reading_allocates_nothing():
    mic = microphone()
    mic.start()
    chunk = bytearray(320)
    read(mic, chunk)
    # the fake's own arithmetic allocates, so it is replaced by one chunk that is always there
    mic._i2s.readinto = None
    full = bytes(1280)

    class Port:
        def readinto(self, buffer):
            buffer[:] = full
            return len(buffer)

    mic._i2s = Port()
    mic._ticks_ms = int
    read_once = mic.read(chunk)
    micropython.heap_lock()
    try:
        for _ in range(100):
            try:
                next(read_once)
            except StopIteration:
                pass
    finally:
        micropython.heap_unlock()


def test_read_can_be_awaited_beside_other_tasks():
    mic = microphone()
    mic.start()
    turns = [0]

    async def other():
        while True:
            world.sleep_ms(1)
            turns[0] += 1
            await asyncio.sleep_ms(0)

    async def main():
        task = asyncio.create_task(other())
        chunk = bytearray(320)
        for _ in range(10):
            await mic.read(chunk)
        task.cancel()

    asyncio.run(main())
    assert turns[0] >= 80, turns


def test_the_port_is_looked_at_once_for_each_buffer_of_the_dma():
    """And at once when it has come: a hundred chunks take a second."""
    mic = microphone()
    mic.start()
    chunk = bytearray(320)
    looks = chunks = 0
    while chunks < 100:
        looks += 1
        if mic.try_read(chunk):
            chunks += 1
        else:
            world.sleep_ms(mic.wait_ms())
    assert looks - chunks <= 70, looks  # 62.5 buffers a second
    assert world.now_us < 1020000, world.now_us
    world.sleep_ms(100)  # the loop stood still
    for _ in range(8):
        while not mic.try_read(chunk):
            world.sleep_ms(mic.wait_ms())
    assert mic.wait_ms() <= 16


def test_off_means_off():
    mic = microphone()
    assert not mic.is_on() and refuses(mic.try_read, bytearray(320))
    world.events.clear()
    mic.start()
    assert mic.is_on() and world.users[SCK] is mic._i2s
    mic.start()
    assert world.events == [("clock", 1)], "a second start does nothing"
    read(mic, bytearray(320))
    assert any(mic._raw)
    mic.stop()
    assert not mic.is_on() and not world.users and not any(mic._raw)
    for number in (SCK, WS, SD):
        assert Pin(number).mode == Pin.IN and Pin(number).pull == Pin.PULL_DOWN
    mic.stop()
    assert refuses(mic.try_read, bytearray(320))


def test_the_supply_comes_first_and_goes_last():
    for on in (0, 1):
        mic = microphone(supply=SUPPLY, supply_on=on)
        assert Pin(SUPPLY).value() == 1 - on and not mic.is_on()
        world.events.clear()
        mic.start()
        mic.stop()
        rest = [(number, "in") for number in (SCK, WS, SD)]
        want = [(SUPPLY, on), ("clock", 1), ("clock", 0)] + rest + [(SUPPLY, 1 - on)]
        assert world.events == want, world.events


def test_a_supply_that_stays_on_is_told():
    mic = microphone(supply=SUPPLY)
    mic.start()
    world.shorted[SUPPLY] = 1
    mic.stop()
    assert mic.is_on()


def test_the_sense_pin_is_believed_before_the_supply_pin():
    mic = microphone(supply=SUPPLY, sense=SENSE)
    world.levels[SENSE] = 0
    assert refuses(mic.start) and not mic.is_on() and "clock" not in str(world.events)
    assert Pin(SUPPLY).value() == 0, "switched off again"
    world.levels[SENSE] = 1
    mic.start()
    mic.stop()
    assert mic.is_on(), "somebody else feeds the microphone"


def test_a_net_that_charges_and_empties_slowly_is_waited_for():
    for on in (0, 1):
        mic = microphone(supply=SUPPLY, supply_on=on, sense=SENSE)
        world.nets[SENSE] = machine.Net(SUPPLY, on, looks=20)
        mic.start()
        assert mic.is_on()
        mic.stop()
        assert not mic.is_on(), on


def test_a_failed_start_leaves_everything_off():
    mic = microphone(supply=SUPPLY)
    world.bus_is_dead = True
    assert refuses(mic.start)
    assert not mic.is_on() and Pin(SUPPLY).value() == 0
    world.bus_is_dead = False
    mic.start()
    assert mic.is_on()


def test_ports_do_not_leak():
    mic = microphone()
    for _ in range(20):
        mic.start()
        mic.stop()
    assert world.ports[1] is None and not world.users


def test_a_soft_reset_leaves_no_clock_and_no_lost_port():
    for loses_ports in (False, True):
        mic = microphone()
        mic.start()
        machine.soft_reset(loses_ports)
        mic = I2SMicrophone(SCK, WS, SD, settle_ms=0, ticks_ms=world.ticks_ms)
        assert SCK not in world.users, "no clock on the wire before anybody asked for it"
        mic.start()
        assert mic.is_on() and world.users[SCK] is world.ports[1 if loses_ports else 0]


def test_lost_samples_are_counted():
    mic = microphone()
    mic.start()
    chunk = bytearray(320)
    read(mic, chunk)
    world.sleep_ms(200)
    for _ in range(40):
        read(mic, chunk)
    assert mic.overruns == 0 and mic._i2s.lost == 0
    assert 184 <= mic.worst_behind_ms <= 216, mic.worst_behind_ms
    world.sleep_ms(300)
    for _ in range(40):
        read(mic, chunk)
    assert mic.overruns == 1 and mic._i2s.lost > 0, (mic.overruns, mic._i2s.lost)


def test_whoever_watches_changes_misses_nothing():
    """Whatever `health` and `overruns` say differently, `changes` has grown since."""
    mic = microphone()
    mic.start()
    chunk = bytearray(320)
    seen = mic.changes, mic.health(), mic.overruns
    news = 0
    for sound in (lambda n: (n % 999 << 16, 0), lambda n: (5 << 16, 0), lambda n: (0, n << 20)):
        world.sound = sound
        for i in range(120):
            world.sleep_ms(400 if i == 50 else 0)
            read(mic, chunk)
            now = mic.changes, mic.health(), mic.overruns
            assert now[1:] == seen[1:] or now[0] > seen[0], (seen, now)
            news += now[1:] != seen[1:]
            seen = now
    assert news >= 5 and mic.overruns >= 3
    mic.stop()
    mic.start()
    assert mic.health() == health.OK and mic.changes > seen[0]
    world.bus_is_dead = True
    mic._i2s.readinto = lambda buffer: 0
    seen = mic.changes
    for _ in range(60):
        world.sleep_ms(10)
        try:
            mic.try_read(chunk)
        except OSError:
            break
    assert mic.health() == health.NO_DATA and mic.changes > seen


def test_the_first_moments_are_silence():
    machine.reset()
    world.sound = lambda n: (n << 16, 0)
    mic = I2SMicrophone(SCK, WS, SD, settle_ms=50, ticks_ms=world.ticks_ms)
    mic.start()
    chunk = bytearray(b"\x55" * 320)
    for i in range(7):
        read(mic, chunk)
        assert any(chunk) == (i >= 5), i


def late(offset, filler):
    """A quiet room whose bits come one clock late, after a last bit `filler` of the other word.

    With an offset it is always on one side of zero, as many microphones are: then nothing clips.
    """

    def sound(n):
        word = ((n * 7919 % 1001 - 500 + offset) << 8) & 0xFFFFFFFF
        word = word >> 1 | filler << 31
        return word - (word >> 31 << 32), 0

    return sound


def test_dead_microphones_are_noticed():
    for sound, want in (
        (lambda n: (0, 0), health.ALL_ZERO),
        (lambda n: (-1, -1), health.STUCK),
        (lambda n: (0, n << 16), health.WRONG_CHANNEL),
        (lambda n: (0x7FFFFF00 if n // 80 % 2 else -0x7FFFFF00, 0), health.RAIL),
        (lambda n: (n % 7 << 14, 0), health.OK),
        (late(0, filler=0), health.SHIFTED),
        (late(0, filler=1), health.SHIFTED),
        (late(-3000, filler=0), health.SHIFTED),
        (late(3000, filler=1), health.SHIFTED),
    ):
        mic = microphone()
        world.sound = sound
        mic.start()
        chunk = bytearray(320)
        for _ in range(60):
            read(mic, chunk)
        assert mic.health() == want, (health.HEALTH_NAMES[mic.health()], want)


def test_the_right_channel_can_be_chosen():
    mic = microphone(channel=RIGHT)
    world.sound = lambda n: (0, n % 9 << 14)
    mic.start()
    chunk = bytearray(320)
    for _ in range(60):
        read(mic, chunk)
    assert mic.health() == health.OK


def test_a_port_that_delivers_nothing_is_an_error_and_not_a_wait_for_ever():
    mic = microphone()
    mic.start()
    mic._i2s._waiting = lambda: 0

    def wait():
        while not mic.try_read(bytearray(320)):
            world.sleep_ms(10)

    assert refuses(wait) and 500 <= world.now_us // 1000 <= 520
    assert mic.health() == health.NO_DATA


def test_a_stop_that_fails_is_told():
    mic = microphone()
    mic.start()

    def deinit():
        raise OSError(5)

    mic._i2s.deinit = deinit
    mic.stop()
    assert mic.is_on()


def test_neopixels_on_every_pin_a_revision_may_use():
    machine.reset()
    light = NeoPixelLight((48, 38), 2)
    light.show(1, 2, 3)
    assert neopixel.NeoPixel.wires[48] == neopixel.NeoPixel.wires[38] == [(1, 2, 3)] * 2
    assert light.is_ok() and light.has_colour
    world.shorted[38] = 1
    assert not light.is_ok()


def apa102_frames(pins, call):
    """The bytes that the LEDs clock in while `call` runs."""
    world.events.clear()
    call()
    data, bits = 0, []
    for number, level in world.events:
        if number == pins[0]:
            data = level
        elif level:
            bits.append(data)
    return [int("".join(str(b) for b in bits[i : i + 8]), 2) for i in range(0, len(bits), 8)]


def test_apa102_frames_and_a_stuck_line():
    machine.reset()
    light = APA102Light((38, 39), 2)
    frames = apa102_frames((38, 39), lambda: light.show(1, 2, 3))
    assert frames == [0] * 4 + [255, 3, 2, 1] * 2 + [0] * 4, frames
    assert light.is_ok()
    for number, level in ((38, 0), (38, 1), (39, 0), (39, 1)):
        world.shorted = {number: level}
        assert refuses(light.show, 1, 2, 3) and not light.is_ok(), (number, level)
    world.shorted = {}
    light.show(0, 0, 0)
    assert light.is_ok()


def test_pwm_lights_read_their_duty_back():
    for on in (1, 0):
        machine.reset()
        single, colour = PWMLight((3,), on), PWMLight((4, 5, 6), on)
        assert colour.has_colour and not single.has_colour
        single.show(10, 200, 30)
        colour.show(10, 200, 0)
        assert single.is_ok() and colour.is_ok()
        duty = single._pwms[0].duty_u16()
        assert abs((duty if on else 65535 - duty) - 200 * 257) < 16, duty
        world.pwm_lag_looks = 3  # the chip shows a new duty with its next period
        single.show(0, 0, 0)
        assert single.is_ok()
        world.pwm_is_stuck = True
        single.show(255, 255, 255)
        assert not single.is_ok()


def test_controls():
    machine.reset()
    controls = Controls(button=0, pressed=0, switch=9, muted=1, ticks_ms=world.ticks_ms)
    world.levels[9] = 0
    muted, presses = [], 0
    for i in range(100):
        world.levels[0] = 0 if 30 <= i < 90 else 1
        muted.append(controls.switch_muted())
        presses += controls.was_pressed()
        world.sleep_ms(10)
    assert presses == 1 and muted[0] and not muted[10]
    assert not controls.press_was_missed() and controls.are_still()
    world.levels[0] = 0
    assert not controls.are_still(), "it is down, or bounces"
    world.levels[0] = 1
    world.levels[9] = 1
    assert not controls.are_still(), "on mute"
    world.levels[9] = 0
    assert controls.are_still(), "nobody looked meanwhile"
    controls._closed(None)
    assert not controls.are_still(), "the interrupt saw a tap"
    controls.was_pressed(), controls.press_was_missed()
    world.levels[9] = 1
    assert controls.switch_muted() is True
    assert not controls.switch_was_moved(), "it was open at the start"
    moves = 0
    for i in range(40):
        world.levels[9] = 1 if i < 20 else 0
        controls.switch_muted()
        moves += controls.switch_was_moved()
        world.sleep_ms(10)
    assert moves == 1 and controls.has_button
    controls = Controls(ticks_ms=world.ticks_ms)
    assert controls.switch_muted() is None and controls.was_pressed() is False
    assert not controls.switch_was_moved() and not controls.has_button


def test_a_press_while_the_loop_stands_still_is_remembered():
    """And a tap of 3 ms between two looks; either mutes within 40 ms of the next look."""
    for pressed, away_ms, length_ms in ((0, 400, 100), (1, 400, 100), (0, 3, 3), (1, 3, 3)):
        machine.reset()
        world.levels[0] = 1 - pressed
        controls = Controls(button=0, pressed=pressed, ticks_ms=world.ticks_ms)

        def look(controls=controls):
            world.sleep_ms(10)
            return controls.was_pressed(), controls.press_was_missed()

        assert [look() for _ in range(20)] == [(False, False)] * 20
        world.sleep_ms(away_ms)  # a TLS handshake
        world.drive(0, pressed)
        world.sleep_ms(length_ms)
        micropython.heap_lock()
        world.drive(0, 1 - pressed)
        micropython.heap_unlock()
        world.sleep_ms(away_ms)
        looks = [look() for _ in range(20)]
        assert looks.count((False, True)) == 1 and looks.index((False, True)) <= 3, looks
        assert looks.count((False, False)) == 19
    controls = Controls(ticks_ms=world.ticks_ms)
    assert not controls.press_was_missed()


def test_loose_wires_mute_and_press_nothing():
    for level in (0, 1):
        machine.reset()
        controls = Controls(0, level, 9, level, ticks_ms=world.ticks_ms)
        for _ in range(100):
            assert not controls.was_pressed() and controls.switch_muted() is True
            assert not controls.press_was_missed()
            world.sleep_ms(10)
        assert Pin(0).value() == 1 - level, "a button at rest reads as not pressed"


def test_the_clock_never_wraps():
    machine.reset()
    clock = Clock(world.ticks_ms)
    for day in range(1, 40):
        world.sleep_ms(86400000)
        assert clock.now_ms() == day * 86400000


def test_the_watchdog_starts_with_the_first_turn():
    machine.reset()
    dog = Watchdog(8000)
    assert world.wdt_timeout_ms is None
    dog.feed()
    assert world.wdt_timeout_ms == 8000 and world.fed == 0
    dog.feed()
    assert world.fed == 1
    machine.reset()
    never = Watchdog(0)
    never.feed()
    assert world.wdt_timeout_ms is None
    world.cause = machine.WDT_RESET
    assert reset_reason() == "watchdog"
    world.cause = 99
    assert reset_reason() == "unknown"
    world.cause = machine.PWRON_RESET
    assert reset_reason() == "power"
    world.registers[0x60008038] = 0x2000 | 15 << 6 | 15
    assert reset_reason() == "brownout"
    world.registers[0x60008038] = 0x2000 | 15 << 6 | 1  # the other core's is not asked
    assert reset_reason() == "power"


def test_wifi_connects_and_says_why_not():
    network.reset()
    wifi = Wifi("home", "secret")
    assert wifi.status() == "off" and not wifi.is_connected()
    assert asyncio.run(wifi.connect()) and wifi.status() == "connected"
    assert wifi.name_server() == "192.168.1.1"
    assert network.air.interfaces[network.AP_IF].active() is False
    assert network.air.interfaces[network.STA_IF].reconnects == 0
    network.air.is_near = False
    assert not wifi.is_connected() and wifi.status() == "no access point"
    network.air.radio_fails = True
    assert not asyncio.run(wifi.connect())
    assert wifi.attempts == 2


def test_wifi_comes_back_with_growing_waits():
    network.reset()
    network.air.radio_fails = True
    waits = []

    class Waits:
        resets = 0

        def wait_ms(self, random_byte):
            assert 0 <= random_byte <= 255
            waits.append(random_byte)
            if len(waits) == 3:
                network.air.radio_fails = False
            return 1

        def reset(self):
            self.resets += 1

    back_off = Waits()
    wifi = Wifi("home", "secret", back_off)

    async def main():
        task = asyncio.create_task(wifi.run())
        while not wifi.is_connected():
            await asyncio.sleep_ms(1)
        await asyncio.sleep_ms(5)
        task.cancel()

    asyncio.run(main())
    assert len(waits) == 3 and back_off.resets == 1 and network.air.connects == 1


def test_any_error_of_the_radio_is_a_failed_attempt():
    """The port raises RuntimeError("Wifi Unknown Error ...") for what it does not know."""
    names = ("WLAN", "active", "config", "disconnect", "connect", "isconnected", "status")
    for broken in names + (names + ("ifconfig",),):
        network.reset()
        network.air.broken = {broken} if isinstance(broken, str) else set(broken)

        class NoWait:
            def wait_ms(self, random_byte):
                return 1

            def reset(self):
                pass

        wifi = Wifi("home", "secret", NoWait())

        async def main(wifi=wifi, broken=broken):
            task = asyncio.create_task(wifi.run())
            await asyncio.sleep_ms(20)
            assert not task.done(), broken
            assert wifi.status() in ("off", "connecting", "connected") and not task.done()
            assert broken == "status" or not wifi.is_connected()
            network.air.broken = set()
            await asyncio.sleep_ms(300)
            is_connected = wifi.is_connected()
            task.cancel()
            return is_connected

        assert asyncio.run(main()), broken
    network.reset()
    network.air.broken = {"ifconfig"}
    wifi = Wifi("home", "secret")
    for _ in range(2):
        assert refuses(wifi.name_server), "an OSError, which the streamer knows"
        asyncio.run(wifi.connect())


class Stream:
    """The end of a connection at which nothing comes, or what `says`."""

    def __init__(self, says):
        self._says = says

    def write(self, data):
        pass

    def close(self):
        pass

    async def drain(self):
        if isinstance(self._says, Exception):
            raise self._says

    async def read(self, count):
        return self._says


def tries_until_renewed(hardware, says, at_most=200):
    """Connections that came to nothing until Wi-Fi was connected anew; None: it never was."""
    wifi = hardware.wifi
    before = wifi.renewals

    async def main():
        for tries in range(at_most):
            connecting = asyncio.create_task(hardware.connect())
            await asyncio.sleep_ms(1)
            if wifi.renewals > before:
                assert not wifi.is_connected() and not connecting.done()
                assert await wifi.connect()
                await connecting
                return tries
            stream, _ = await connecting
            try:
                await stream.drain()
                await stream.read(1)
            except (OSError, ValueError):
                pass

    return asyncio.run(main())


def test_a_network_that_carries_nothing_is_connected_anew():
    network.reset()

    class Config:
        wifi_ssid, wifi_password, receiver_host, receiver_port = "home", "secret", "10.0.0.1", 1

    says = [b""]

    async def connect():
        stream = Stream(says[0])
        return stream, stream

    class Board:
        storage = None

    kept, hardware.tls.connector = hardware.tls.connector, lambda *arguments: connect
    kept_ms, hardware.WIFI_STEP_MS = hardware.WIFI_STEP_MS, 1
    try:
        hardware.Hardware.join(Board, Config)
        asyncio.run(Board.wifi.connect())
        for dead in (b"", OSError(116), OSError(113), OSError("the network is stuck")):
            says[0] = dead
            found = [tries_until_renewed(Board, dead) for _ in range(6)]
            # one try of each row is the one that went on after the new connection
            assert found[0] in (4, 3) and found[1:4] == [7, 15, 31], (dead, found)
            assert found[4:] == [63, 63], "not more and more seldom without end"
            Board.wifi.carried()
        renewals = Board.wifi.renewals
        for alive in (b"x", OSError(104), OSError(111), OSError(-0x2700), ValueError("name")):
            says[0] = alive
            assert tries_until_renewed(Board, alive, 50) is None, alive
        assert Board.wifi.renewals == renewals == 24
    finally:
        hardware.tls.connector, hardware.WIFI_STEP_MS = kept, kept_ms


def check_speaker(both, constants, name):
    """The board's speaker and its microphone, one after the other and never together."""
    speaker, mic = both.speaker, both.mic
    if name not in ("ESPRESSIF_DEVKITC_1_SPEAKER", "ONJU_VOICE_V3", "LILYGO_T_CIRCLE_S3_V1_0"):
        assert speaker is None, name
        return
    speaker.start()
    assert refuses(mic.start) and world.users[constants.SPEAKER_SCK] is speaker._i2s
    assert Pin(constants.SPEAKER_ENABLE).value() == constants.SPEAKER_ENABLE_ON
    assert speaker.write(bytearray(320)) is True
    speaker.stop()
    mic.start()
    assert refuses(speaker.start) and world.users[constants.MIC_SCK] is mic._i2s, name
    mic.stop()
    assert not mic.is_on() and not speaker.is_on() and not world.users, name


def test_every_board_makes_its_drivers():
    import os

    names = [name for name in os.listdir("boards") if name[0] != "."]
    assert len(names) >= 5
    for name in names:
        machine.reset()
        board = {}
        with open("boards/" + name + "/board.py") as file:
            exec(file.read(), board)

        class Board:
            pass

        for key, value in board.items():
            setattr(Board, key, value)
        constants = hardware.Constants(Board)
        hardware.quiet(constants)
        for number, level in constants.QUIET_PINS:
            assert Pin(number).mode == Pin.OUT and Pin(number).value() == level
        light = hardware.light(constants)
        light.show(0, 255, 0)
        assert light.is_ok() and light.has_colour == (name != "ESPRESSIF_S3_EYE")
        controls = hardware.controls(constants)
        assert controls.switch_muted() is (None if constants.SWITCH is None else True)
        both = hardware.Hardware(Board)
        assert both.mic.is_on() is False and (both.speaker is None or not both.speaker.is_on())
        check_speaker(both, constants, name)
        assert machine.freq() == 240000000, "stock images differ in it"
        mic = hardware.microphone(constants)
        if constants.MIC_SENSE is not None:
            assert refuses(mic.start), "nothing feeds this microphone yet"
            world.levels[constants.MIC_SENSE] = 1
        mic.start()
        assert mic.is_on() and world.users[constants.MIC_SCK] is mic._i2s, name
