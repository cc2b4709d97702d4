"""Diagnosis does not disturb: the simulated device with somebody at its cable, and without.

The console is the firmware's own.  What the device hears, shows, records and sends is the same,
byte for byte, whoever asks whatever how often; only a host that stalls costs sound, and that is
counted.
"""

import json
import random
import subprocess

import pytest

from firmware.diagnostics import frame
from host_tools import micropython
from host_tools.board.console import code
from host_tools.commands import monitor
from tests.fakes.simulated import silence, simulate, wake_and_command

SOUND_MS = 6500
#: What a line of `earnest monitor` is on the wire.
LEVELS = "\r" + code("levels") + "\r"
FASTEST_HZ = 10


def asked(line, hz):
    """The line, so many times a second, through the whole sound."""
    return [(t_ms, "cable", line) for t_ms in range(0, SOUND_MS, round(1000 / hz))]


def garbage():
    """As much as the line carries: 11,500 bytes a second, every byte but those of a question."""
    bytes_of = random.Random(4)
    return [
        (t_ms, "cable", "".join(chr(bytes_of.randrange(256)) for _ in range(115)))
        for t_ms in range(0, SOUND_MS, 10)
    ]


def everything(t_ms):
    """Each question once, from `t_ms` on."""
    names = ("status", "levels", "log", "mic")
    return [(t_ms + 700 * i, "cable", f"diag.{name}()\r") for i, name in enumerate(names)]


DISTURBANCES = {
    "monitor": asked(LEVELS, monitor.DEFAULT_HZ),
    "monitor, the fastest": asked(LEVELS, FASTEST_HZ),
    "status as often": asked("\r" + code("status") + "\r", FASTEST_HZ),
    "every question": everything(300) + everything(3500),
    "garbage": garbage(),
    "endless line": [(t_ms, "cable", "diag." * 50) for t_ms in range(0, SOUND_MS, 10)],
    "a host that does not read": [(0, "cable-host", "stopped"), *asked(LEVELS, FASTEST_HZ)],
    "commands": asked('app.parts.gate.unmute()\rexec("import main")\rdiag.selftest()\r', 2),
}


def without_cable(result):
    """Everything that happened but what was typed and answered."""
    return [event for event in result.events if event["event"] not in ("scenario", "cable")]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return simulate(tmp_path_factory.mktemp("undisturbed"), wake_and_command())


@pytest.mark.parametrize("what", DISTURBANCES)
def test_nothing_else_changes(tmp_path, undisturbed, what):
    result = simulate(tmp_path, wake_and_command(), DISTURBANCES[what])
    assert without_cable(result) == without_cable(undisturbed)
    assert (result.times_ms, result.probabilities) == (
        undisturbed.times_ms,
        undisturbed.probabilities,
    )
    assert [s.as_json() for s in result.streams.all] == [
        s.as_json() for s in undisturbed.streams.all
    ]
    assert len(result.of("sent")) > 100
    # The ring holds 256 ms of sound; no answer ever uses a quarter of it.
    assert all(event["late_ms"] < 64 for event in result.of("cable"))


def test_the_answers_are_whole_and_true(tmp_path):
    rows = [*asked(LEVELS, monitor.DEFAULT_HZ), (6000, "press")]
    result = simulate(tmp_path, wake_and_command(), rows)
    told = [(e["t_ms"], frame.decode(e["line"])) for e in result.of("cable")]
    assert len(told) >= len(rows) - 2  # the last when the sound is over
    assert all(value is not None for _, value in told)
    for t_ms, value in told:
        at_ms = value["at_us"] // 1000  # of the moment that it is about
        assert 0 <= t_ms - at_ms < 150
        changes = [e["to"] for e in result.of("state") if e["t_ms"] < at_ms]
        assert value["state"] == (changes or ["NOT_READY"])[-1], value
        assert value["light"]["state"] == value["state"] and value["light"]["ok"]
        assert value["muted"] == (value["state"] == "MUTED") == (not value["mic"])
        assert value["overruns"] == 0
        # Muted, time goes on and nothing is heard.
        assert 0 <= min(at_ms, 6000) // 10 - value["chunks"] <= 2, value
        heard = [
            p
            for at, p in zip(result.times_ms[0], result.probabilities[0], strict=True)
            if at <= at_ms
        ]
        assert not heard or value["probability"][0] in heard[-2:]
    assert {"IDLE", "STREAMING", "MUTED"} == {value["state"] for _, value in told}
    quiet = [value for t_ms, value in told if 5500 < t_ms < 6000]  # after the command
    assert quiet and all(value["mic"] and value["peak"] < 100 for value in quiet)
    assert max(value["peak"] for _, value in told) > 3000 and told[-1][1]["peak"] == 0


def test_a_person_reads_the_same(tmp_path):
    result = simulate(tmp_path, wake_and_command(), everything(2000))
    text = "\n".join(event["line"] for event in result.of("cable"))
    for words in (
        "state       STREAMING",
        "microphone  on, health OK, 0 overruns (read back)",
        "light       shows STREAMING",
        "wifi        connected",
        "probability [",
        "wake model okay_nabu",
        "microphone  OK",
    ):
        assert words in text, text
    rows = [(0, "network", "down"), (100, "press"), *everything(200)]
    text = "\n".join(e["line"] for e in simulate(tmp_path, silence(3), rows).of("cable"))
    for words in ("state       MUTED", "muted       yes, by button", "not connected", "REFUSED"):
        assert words in text, text


def test_a_host_that_stalls_costs_sound_that_is_counted_and_seldom(tmp_path):
    """A chip's own USB says that there is room and waits: once in five seconds, no more."""
    rows = [(500, "cable-host", "stalled"), *asked(LEVELS, FASTEST_HZ)]
    result = simulate(tmp_path, wake_and_command(), rows)
    assert [e["what"] for e in result.of("audit") if e["kind"] == "fault"] == ["overrun"]
    assert [e["to"] for e in result.of("state")] == ["IDLE", "STREAMING", "IDLE"]
    lost_ms = 10 * (SOUND_MS // 10 - 2) - 30 * len(result.probabilities[0])
    assert 200 < lost_ms < 700, lost_ms


def test_what_is_lost_in_a_stream_is_named_there_and_the_rest_is_whole(tmp_path):
    questions = [row for row in asked(LEVELS, FASTEST_HZ) if row[0] > 3400]
    rows = [(3400, "cable-host", "stalled"), *questions]
    result = simulate(tmp_path, wake_and_command(), rows)
    (stream,) = result.streams.all
    (lost,) = result.of("lost")
    lost_samples = lost["samples_to"] - lost["samples_from"]
    assert stream.samples_from < lost["samples_from"] < lost["samples_to"] < stream.samples_to
    assert stream.lost_ms == lost_samples // 16 and 200 < stream.lost_ms < 700
    assert stream.samples == stream.samples_to - stream.samples_from - lost_samples
    assert stream.is_contiguous and stream.is_as_received
    kinds = [e["kind"] for e in result.of("audit")]
    start, fault, end = map(kinds.index, ("stream-start", "fault", "stream-end"))
    assert start < fault < end  # the records, too, have it within the stream


def test_the_heap_does_not_grow(tmp_path):
    """Five minutes of monitoring, muted: what the audio takes, the twenty minutes take too."""
    rows = [(t_ms, "cable", LEVELS) for t_ms in range(1000, 300_000, 1000 // FASTEST_HZ)]
    result = simulate(tmp_path, silence(300), rows, muted=True, heap_step_ms=60_000)
    assert len(result.of("cable")) > 2500  # a question that comes during an answer waits
    used = [used for used, _ in result.heap]
    assert len(used) == 6 and max(used[1:]) - used[1] < 500, used


def test_the_real_line_sees_that_nobody_reads(tmp_path):
    script = tmp_path / "fill.py"
    script.write_text(
        "import sys\nfrom diagnostics.console import Line\nline = Line()\nwritten = 0\n"
        "while line.has_room() and written < 1000000:\n line.write('x' * 64)\n written += 64\n"
        "sys.stderr.write(str(written))\n"
    )
    with subprocess.Popen(
        micropython.command(script),
        env=micropython.environment(),
        stdout=subprocess.PIPE,  # read by nobody until the script has ended
        stderr=subprocess.PIPE,
    ) as process:
        written = int(process.stderr.read())
        assert 0 < written < 1000000 and len(process.stdout.read()) == written


def test_the_trace_tells_what_was_typed_and_answered(tmp_path):
    result = simulate(tmp_path, silence(1), [(300, "cable", "diag.levels()\r")])
    (typed,) = result.scenario
    assert typed == {
        "t_ms": 300,
        "event": "scenario",
        "action": "cable",
        "value": "diag.levels()\r",
    }
    lines = result.of("cable")
    assert list(lines[0]) == ["t_ms", "event", "line", "late_ms"]
    assert "state IDLE" in [event["line"] for event in lines]
    json.dumps(result.events)
