"""The simulated speaker beside the board's driver on a stand-in of the chip: they do the same."""

import json

from host_tools import micropython
from host_tools.shared_firmware import ROOT

#: Both are written whenever there is room, but for some pauses; what sounded, and when, in ms.
SCRIPT = """
import sys, json, random
sys.path.insert(0, sys.argv[1])
import machine
from machine import world
from drivers.i2s_speaker import I2SSpeaker
from simulated_speaker import Speaker

class Off:
    def is_on(self):
        return False

class World:
    speaker_fails = speaker_is_stuck = False
    def emit(self, event, **fields):
        pass

def number(chunk):
    return chunk[0] | chunk[1] << 8

heard = []
simulated_world = World()

def hear(chunk):
    heard.append((now_ms - 10, number(chunk)))

simulated = Speaker(simulated_world, Off(), hear)
machine.reset()
driven = I2SSpeaker(10, 11, 12, 13, ticks_ms=world.ticks_ms)
now_ms = 0
simulated.start()
driven.start()
i2s = driven._i2s
written = [0, 0]
random.seed(int(sys.argv[2]))
writes = False
for _ in range(40):
    writes = not writes
    for _ in range(random.randrange(3, 60)):
        for which, speaker in enumerate((simulated, driven)):
            while writes:
                chunk = bytearray((written[which] + 1).to_bytes(2, "little") * 160)
                if not speaker.write(chunk):
                    break
                written[which] += 1
        now_ms += 10
        world.sleep_ms(10)
        simulated.time_passed(bytearray(320))
i2s.player.pass_time()
samples = i2s.player.samples
sounded = []
for at in range(0, len(samples), 2):
    n = number(samples[at : at + 2])
    if n and (not sounded or sounded[-1][1] != n):
        sounded.append((at // 32, n))
print(json.dumps([written, [simulated.late, driven.late], heard, sounded]))
"""


def test_it_takes_as_much_at_the_same_times_and_is_late_as_often(tmp_path, native_emitter):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    for seed in range(3):
        done = micropython.run(
            script, ROOT / "tests" / "fakes", seed, folders=(micropython.GUESTS,)
        )
        assert done.returncode == 0, (done.stdout + done.stderr).decode()
        written, late, simulated, driven = json.loads(done.stdout)
        assert late[0] == late[1] > 5, late
        # After a pause the chip goes on with its next buffer, up to two of 16 ms later.
        lag = 2 + 3 * late[0]
        assert 0 <= written[0] - written[1] <= lag and written[0] > 500, written
        assert 0 <= len(simulated) - len(driven) <= lag and len(driven) > 500
        for (at_ms, number), (driven_ms, driven_number) in zip(simulated, driven, strict=False):
            assert number == driven_number, "in order, and every one of them"
            assert -10 <= driven_ms - at_ms <= 16 * lag, (number, at_ms, driven_ms)
