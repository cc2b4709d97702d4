"""A million random events around the whole application: no sound out of turn, no microphone while
it speaks.

`.venv/bin/python -m tests.long.random_sounds` prints what was played; the suite plays some
thousands (tests/firmware/test_random_sounds.py).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from host_tools import micropython

FIRMWARE_TESTS = Path(__file__).parent.parent / "firmware"
PLAY = """
import sys
from random_sounds import play
seed, events = int(sys.argv[1]), int(sys.argv[2])
print("%d events: %d sounds, %d chunks heard, closed %d times" % ((events,) + play(seed, events)))
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1000000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "play.py"
        script.write_text(PLAY)
        done = micropython.run(
            script,
            str(given.seed),
            str(given.events),
            timeout_s=3600 + given.events // 100,
            folders=(FIRMWARE_TESTS,),
        )
    print((done.stdout + done.stderr).decode())
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
