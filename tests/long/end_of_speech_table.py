"""The tables of docs/end-of-speech.md: `python -m tests.long.end_of_speech_table`.

Runs the firmware's front end and end of speech in MicroPython on every cell: what else is heard,
how loud, in which room, six voices, two commands each.  Then the whole simulated device, with
its own detections.  Takes five minutes.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from host_tools import micropython
from host_tools.simulation.sent_streams import SentStream
from tests.fakes.end_of_speech import Found, find
from tests.fakes.simulated import simulate
from tests.generators.spoken_commands import RATE_HZ, Recording, record, say

VOICES = ("en-us", "en-us+f3", "en-gb-x-rp", "en-us+m7", "en-gb-scotland", "en-us+f5")
COMMANDS = (
    "turn on the light in the kitchen please",
    "stop",
    "set a timer for ten minutes",
    "what is the weather in Hamburg tomorrow",
    "play some music by Bach, and then wake me up at six",
    "yes",
    "next song",
)
GAPS_S = (0.0, 0.1, 0.3, 0.9)
CELLS = (
    (None, (0,)),
    ("talk", (-10, -15, -20, -25, -30)),
    ("music", (-10, -15, -20, -25, -30)),
    ("tone", (-6, -15)),
    ("beeps", (-6, -15)),
    ("noise", (-5, -10, -20)),
)
#: Voices that wake okay_nabu, most of the time.
WAKING_VOICES = ("en-us", "en-gb-x-rp", "en-gb-scotland", "en-us+m7", "en-us+m3", "de")
DEVICE_GAPS_S = (0.0, 0.1, 0.3, 0.8)
PAUSES_S = (0.5, 0.7)
QUIETER_DB = (0, -6, -10)
IN_TIME_S = 1.5


def run(source: str, stdin: bytes) -> bytes:
    """Run a script in MicroPython with the firmware on its path; return what it printed."""
    with tempfile.TemporaryDirectory(prefix="earnest-") as folder:
        script = Path(folder) / "script.py"
        script.write_text(source)
        done = micropython.run(script, stdin=stdin)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout


def commands_row(found: list[Found]) -> str:
    """Return whole, in time, and the times from the last word to the end, as cells."""
    whole = [f for f in found if f.began_s is not None and f.cut_s == 0]
    ended = [f.late_s for f in found if f.began_s is not None and f.ended_s is not None]
    not_cut = [late for late in ended if late >= 0]
    in_time = sum(late <= IN_TIME_S for late in not_cut)
    uncut = len(whole) - (len(ended) - len(not_cut))
    times = f"{np.median(not_cut):.2f} s | {max(not_cut):.2f} s" if not_cut else "- | -"
    return f"{uncut} of {len(found)} | {in_time} of {len(found)} | {times}"


def main() -> None:
    print("| other sound | level | room | whole | ended in 1.5 s | median | latest ", end="")
    print("| nothing said, nothing sent |\n|---|---:|---|---:|---:|---:|---:|---:|")
    seed = 0
    for kind, levels in CELLS:
        for level in levels:
            for has_echo in (False, True):
                said, silent = [], []
                for voice in VOICES:
                    for _ in range(2):
                        words, gap_s = COMMANDS[seed % 7], GAPS_S[seed % 4]
                        recording = record(
                            say(words, voice), voice, gap_s, kind, level, has_echo, seed
                        )
                        said.append(recording)
                        seed += 1
                    silent.append(record(np.zeros(0), voice, 0, kind, level, has_echo, seed))
                nobody = find(run, silent)
                still = sum(found.began_s is None for found in nobody)
                room = "T60 0.7 s" if has_echo else "dry"
                name = (kind, f"{level} dB") if kind else ("none", "")
                row = commands_row(find(run, said))
                print(f"| {name[0]} | {name[1]} | {room} | {row} | {still} of {len(nobody)} |")
    print("\n| pause | last word | other sound | dry | T60 0.7 s |\n|---:|---:|---|---:|---:|")
    for pause_s in PAUSES_S:
        for quieter_db in QUIETER_DB:
            for level in (None, -15, -20):
                print(f"| {pause_s} s | {quieter_db} dB ", end="")
                print("| none " if level is None else f"| talk, {level} dB ", end="")
                for has_echo in (False, True):
                    print(f"| {pauses_cell(pause_s, quieter_db, level, has_echo)} ", end="")
                print("|")
    print(f"\nThe whole device: {whole_device()}.")


def whole_device() -> str:
    """Return how many commands the simulated device sent whole and ended in time."""
    woken = right = 0
    with tempfile.TemporaryDirectory(prefix="earnest-") as folder:
        for voice in WAKING_VOICES:
            for words in (COMMANDS[1], COMMANDS[0], COMMANDS[3]):
                for gap_s in DEVICE_GAPS_S:
                    for kind in (None, "talk"):
                        made = record(say(words, voice), voice, gap_s, kind, -15, seed=woken)
                        result = simulate(Path(folder), made.samples)
                        for stream in result.streams.all[:1]:
                            woken += 1
                            right += is_right(stream, made)
    return f"{right} of {woken} commands after a wake word whole and ended in time"


def is_right(stream: SentStream, made: Recording) -> bool:
    """Whether all was sent from the detection or the first word on, and not much more."""
    if stream.samples_from is None or stream.end_ms is None:
        return False
    first_s = max(stream.wake_ms / 1000, made.said_from_s)
    late_s = stream.end_ms / 1000 - made.said_to_s
    return stream.samples_from / RATE_HZ <= first_s + 0.005 and 0 <= late_s <= IN_TIME_S


def pauses_cell(pause_s: float, quieter_db: float, level: int | None, has_echo: bool) -> str:
    """Return how many voices' commands with a pause before a quiet last word stayed whole."""
    recordings = []
    for seed, voice in enumerate(VOICES):
        last = say("tomorrow", voice) * 10 ** (quieter_db / 20)
        pause = np.zeros(int(pause_s * RATE_HZ))
        said = np.concatenate([say("remind me to buy milk", voice), pause, last])
        kind = None if level is None else "talk"
        recordings.append(record(said, voice, 0.3, kind, level or 0, has_echo, seed))
    found = find(run, recordings)
    whole = sum(f.ended_s is None or f.late_s >= 0 for f in found)
    return f"{whole} of {len(found)}"


if __name__ == "__main__":
    main()
