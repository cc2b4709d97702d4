"""The trace's text is what docs/trace.md says, and the reader takes nothing else."""

import json
import re

import pytest

from host_tools.errors import HostToolError
from host_tools.shared_firmware import ROOT
from host_tools.simulation import trace

START = {
    "t_ms": 0,
    "event": "start",
    "version": 1,
    "model": "okay_nabu",
    "board": "SIM",
    "audio": "a.wav",
}


def test_events_are_the_lines_of_the_document():
    block = re.search(r"```\n(.*?)```", (ROOT / "docs/trace.md").read_text(), re.S)
    documented = block.group(1).splitlines(keepends=True)
    written = [
        trace.start_event("a.wav", ["okay_nabu"]),
        None,
        trace.probability_event(50, 2, 0),
        trace.detection_event(1380, "okay_nabu", 251),
        trace.device_event(
            1380, {"event": "state", "reason": "wake", "to": "STREAMING", "from": "IDLE"}
        ),
        trace.device_event(
            1380, {"mic": True, "event": "light", "rgb": [0, 0, 64], "state": "STREAMING"}
        ),
        trace.device_event(1690, {"event": "speech"}),
        trace.sent_event(1690, 22240, 22400),
        trace.end_event(200, 32000),
    ]
    for line, event in zip(documented, written, strict=True):
        if event is not None:
            assert trace.line(event) == line
    assert documented[1].startswith(trace.line(trace.features_event(30, 0, [-128, -128]))[:-4])


def test_several_models_and_a_microphone_are_named():
    event = trace.start_event("a.wav", ["a", "b"], "gain +6 dB")
    assert event["models"] == ["a", "b"] and "model" not in event
    assert event["microphone"] == "gain +6 dB"
    assert trace.probability_event(50, 2, 9, "b")["model"] == "b"


def test_time_is_counted_in_samples():
    assert trace.end_event(4, 700)["t_ms"] == 40


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "t.jsonl"
    events = [trace.probability_event(50, 2, 7), trace.end_event(5, 800)]
    two = trace.start_event("b.wav", ["a", "b"])
    path.write_text("".join(map(trace.line, [START, *events, two, {**events[0], "new": 1}])))
    first, second = trace.read(path)
    assert (first.start, first.events, first.models) == (START, events, ["okay_nabu"])
    assert second.models == ["a", "b"] and second.of("probability")[0]["new"] == 1
    assert second.of("end") == []


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "empty"),
        ("hello\n", "line 1: not a line of JSON"),
        ("[1]\n", "line 1: no `event`"),
        ('{"event": "start"}\n', "line 1: `t_ms`"),
        ('{"t_ms": 5, "event": "end"}\n', "the first event is not `start`"),
        (json.dumps({**START, "version": 2}) + "\n", "version 2; version 1 is read"),
        (json.dumps({**START, "model": 5}) + "\n", "names no model"),
        (json.dumps(START) + "\n" + "[" * 70_000 + "\n", "line 2: not a line of JSON"),
        (json.dumps(START) + '\n{"t_ms": 1.5, "event": "end"}\n', "line 2: `t_ms`"),
    ],
)
def test_anything_else_is_refused_in_words(tmp_path, text, words):
    path = tmp_path / "t.jsonl"
    path.write_text(text)
    with pytest.raises(HostToolError) as caught:
        trace.read(path)
    assert words in caught.value.message and caught.value.hint
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(HostToolError, match="UTF-8"):
        trace.read(path)
    with pytest.raises(HostToolError, match="No such file"):
        trace.read(tmp_path / "none")


def test_every_event_and_key_is_documented():
    text = (ROOT / "docs/trace.md").read_text()
    made = {"sent": tuple(trace.sent_event(0, 0, 160))[2:]}
    made["sound"] = tuple(trace.sound_event(10, 1))[2:]
    for kind, keys in (trace.DEVICE_EVENTS | made).items():
        (row,) = [line for line in text.splitlines() if line.startswith(f"| `{kind}` | ")][:1]
        for key in keys:
            assert f"`{key}`" in row, (kind, key)
            assert re.search(rf"^\|.*`{key}`.*\|", text, re.M), key


def test_audit_fields_stand_in_one_order():
    fields = {"what": "unmute", "kind": "refused", "count": 2, "event": "audit"}
    event = trace.device_event(5, fields)
    assert list(event) == ["t_ms", "event", "kind", "count", "what"]
