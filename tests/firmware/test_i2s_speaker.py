"""The speaker's driver on a chip that behaves: the order of the pins, what sounds, every fault."""

import sys

import micropython

sys.path.insert(0, "tests/fakes")

import machine
from drivers.i2s_microphone import I2SMicrophone
from drivers.i2s_speaker import STUCK_MS, I2SSpeaker
from machine import Pin, world

SCK, WS, SD, ENABLE = 10, 11, 12, 13
REST = [(number, "in") for number in (SCK, WS, SD)]


def speaker(**settings):
    """A new chip with an amplifier."""
    machine.reset()
    return again(**settings)


def again(**settings):
    """The driver, made anew on the same chip."""
    return I2SSpeaker(SCK, WS, SD, ENABLE, ticks_ms=world.ticks_ms, **settings)


def refuses(call, *arguments):
    try:
        call(*arguments)
    except OSError:
        return True
    return False


def chunk_of(n):
    """160 samples that say which they are: none is 0, and none comes twice in 200 chunks."""
    chunk = bytearray(320)
    for i in range(160):
        value = 160 * n + i + 1
        chunk[2 * i], chunk[2 * i + 1] = value & 255, value >> 8
    return chunk


def play(device, chunks, first=0):
    """Write these chunks, the time running whenever there is no room."""
    for n in range(first, first + chunks):
        chunk = chunk_of(n)
        for _ in range(400):
            if device.write(chunk):
                break
            world.sleep_ms(1)
        else:
            raise AssertionError("no room within 400 ms")


def drain(device):
    """Write silence, until what was written before has sounded."""
    zeros = bytearray(320)
    for _ in range(device.buffer_ms // 10):
        while not device.write(zeros):
            world.sleep_ms(1)


def sounded(i2s):
    """The samples that have sounded so far, 0 for silence."""
    i2s.player.pass_time()
    data = i2s.player.samples
    return [data[i] | data[i + 1] << 8 for i in range(0, len(data), 2)]


def without_silence(samples):
    return [v for v in samples if v]


def test_it_is_made_off_whatever_ran_before():
    for on in (0, 1):
        machine.reset()
        Pin(ENABLE, Pin.OUT, value=on)
        world.events.clear()
        device = again(enable_on=on)
        assert world.events == [(ENABLE, 1 - on)] + REST, world.events
        assert not device.is_on() and Pin(ENABLE).mode == Pin.OUT


def test_the_clock_comes_first_and_the_amplifier_goes_first():
    for on in (0, 1):
        device = speaker(enable_on=on)
        world.events.clear()
        device.start()
        assert device.is_on() and world.users[SCK] is device._i2s
        device.start()
        assert world.events == [("clock", 1), (ENABLE, on)], "a second start does nothing"
        play(device, 3)
        device.stop()
        want = [("clock", 1), (ENABLE, on), (ENABLE, 1 - on), ("clock", 0)] + REST
        assert world.events == want, world.events
        assert not device.is_on() and not world.users and not any(device._out)
        assert refuses(device.write, chunk_of(0))
        device.stop()
        assert not device.is_on()


def test_what_is_written_sounds_in_order_and_whole():
    device = speaker()
    device.start()
    i2s = device._i2s
    world.sleep_ms(7)
    play(device, 150)
    drain(device)
    samples = sounded(i2s)
    assert without_silence(samples) == list(range(1, 160 * 150 + 1))
    begins = samples.index(1)
    assert begins == device._ring_samples, "the first buffer's second turn"
    assert samples[begins : begins + 24000] == list(range(1, 24001)), "and without a gap"
    assert device.late == 0 and device.buffer_ms == 270


def test_a_chunk_is_taken_whole_or_there_is_no_room():
    device = speaker(ring_bytes=1024)
    device.start()
    world.sleep_ms(33)
    taken = 0
    while device.write(chunk_of(taken)):
        taken += 1
    assert taken == 2 and device._left == 128, "512 bytes, and a part of the second waits inside"
    assert not device.write(chunk_of(9)), "and the chunk that had no room is not kept"
    for _ in range(40):
        world.sleep_ms(1)
        if device.write(chunk_of(taken)):
            taken += 1
    world.sleep_ms(40)
    heard = without_silence(sounded(device._i2s))
    assert taken > 4 and heard == list(range(1, len(heard) + 1))


def test_late_audio_is_silence_and_is_counted_and_never_comes_a_turn_later():
    device = speaker()
    device.start()
    i2s = device._i2s
    world.sleep_ms(100)
    play(device, 5)  # 800 samples: the fourth buffer has room for 224 more
    assert device._left == 0
    world.sleep_ms(400)
    assert device.late == 0, "nobody wrote"
    play(device, 40, first=5)
    assert device.late == 1
    drain(device)
    samples = sounded(i2s)
    assert without_silence(samples) == list(range(1, 160 * 45 + 1)), "in order"
    gap = samples.index(801) - samples.index(800)
    assert samples[samples.index(800) + 1 : samples.index(801)] == [0] * (gap - 1)
    begins = samples.index(801)
    assert samples[begins : begins + 6400] == list(range(801, 7201)), "no second gap"
    world.sleep_ms(400)
    play(device, 1, first=45)
    assert device.late == 2


def test_writing_allocates_nothing():
    device = speaker()
    device.start()

    class Port:
        """A port with room for whole chunks, and for half of every third: no arithmetic of its
        own on the heap."""

        def __init__(self):
            self.calls = 0

        def write(self, buffer, offset, length):
            self.calls += 1
            return length >> 1 if self.calls % 3 == 0 else length

        def deinit(self):
            pass

    device._i2s = Port()
    device._ticks_ms = int
    chunk = chunk_of(0)
    taken = 0
    micropython.heap_lock()
    try:
        for _ in range(100):
            taken += device.write(chunk)
    finally:
        micropython.heap_unlock()
    assert taken == 100 and device._i2s.calls > 100


def test_both_are_never_on_together():
    """Also where they share the clock's pins: neither takes them from the other."""
    for sck, ws in ((4, 5), (SCK, WS)):
        device = speaker()
        mic = I2SMicrophone(sck, ws, 6, settle_ms=0, ticks_ms=world.ticks_ms)
        mic.other, device.other = device, mic
        mic.start()
        assert refuses(device.start) and not device.is_on() and Pin(ENABLE).value() == 0
        assert mic.is_on() and world.users[sck] is mic._i2s, "the refusal left its clock alone"
        device.stop()
        assert world.users[sck] is mic._i2s
        mic.stop()
        device.start()
        assert refuses(mic.start) and not mic.is_on()
        mic.stop()
        assert device.is_on() and world.users[SCK] is device._i2s
        device.stop()
        mic.start()
        assert mic.is_on() and world.users[sck] is mic._i2s


def test_a_failed_start_leaves_everything_off():
    device = speaker()
    world.bus_is_dead = True
    world.events.clear()
    assert refuses(device.start) and not device.is_on()
    assert (ENABLE, 1) not in world.events, "no amplifier without a clock"
    world.bus_is_dead = False
    world.shorted[ENABLE] = 0
    assert refuses(device.start), "the amplifier does not come on"
    assert not device.is_on() and not world.users
    world.shorted = {}
    device.start()
    assert device.is_on()


def test_an_amplifier_that_stays_on_is_told():
    device = speaker()
    device.start()
    world.shorted[ENABLE] = 1
    device.stop()
    assert device.is_on() and not world.users
    assert refuses(device.start), "and no clock is given to it"
    assert not world.users


def test_a_stop_that_fails_is_told():
    device = speaker()
    device.start()

    def deinit():
        raise OSError(5)

    device._i2s.deinit = deinit
    device.stop()
    assert device.is_on() and Pin(ENABLE).value() == 0


def test_every_fault_while_writing_ends_with_everything_off():
    device = speaker()
    device.start()
    play(device, 3)
    device._i2s.is_stuck = True

    def wait():
        while True:
            device.write(chunk_of(3))
            world.sleep_ms(10)

    began = world.now_us
    assert refuses(wait) and not device.is_on() and Pin(ENABLE).value() == 0
    assert STUCK_MS <= (world.now_us - began) // 1000 <= STUCK_MS + 20
    device.start()

    def write(*_):
        raise OSError(5)

    device._i2s.write = write
    assert refuses(device.write, chunk_of(0)) and not device.is_on()


def test_a_soft_reset_leaves_no_amplifier_on_and_no_lost_port():
    for loses_ports in (False, True):
        device = speaker()
        device.start()
        machine.soft_reset(loses_ports)
        device = again()
        assert Pin(ENABLE).value() == 0 and SCK not in world.users
        device.start()
        assert device.is_on() and world.users[SCK] is world.ports[0 if loses_ports else 1]


class Board:
    SPEAKER_ENABLE = ENABLE


def start_boot(**modules):
    """Run boot.py where `import NAME` finds these."""
    kept = {name: sys.modules.get(name) for name in modules}
    sys.modules.update(modules)
    try:
        with open("firmware/boot.py") as file:
            exec(file.read(), {})
        assert "board" not in sys.modules, "what an installation brings must be imported anew"
    finally:
        for name, module in kept.items():
            sys.modules.pop(name, None)
            if module is not None:
                sys.modules[name] = module


def test_boot_silences_the_amplifier_before_anything_else():
    for on in (0, 1):
        device = speaker(enable_on=on)
        device.start()
        Board.SPEAKER_ENABLE_ON = on
        machine.soft_reset()
        world.events.clear()
        start_boot(board=Board)
        assert world.events == [(ENABLE, 1 - on)], world.events


def test_boot_goes_on_without_an_amplifier():
    machine.reset()
    for board in (object(), None):
        start_boot(board=board)
    assert not world.events
    Board.SPEAKER_ENABLE = "thirteen"
    start_boot(board=Board)
    Board.SPEAKER_ENABLE = ENABLE


def test_ports_do_not_leak():
    device = speaker()
    for _ in range(20):
        device.start()
        device.stop()
    assert world.ports[0] is None and not world.users
