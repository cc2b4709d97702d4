"""Scripts: what docs/simulate.md says is taken, everything else is refused in words."""

import json
import re

import pytest

from host_tools import cli
from host_tools.errors import HostToolError
from host_tools.shared_firmware import ROOT
from host_tools.simulation import scenario
from host_tools.simulation.scenario import Event


def test_the_document_and_the_code_know_the_same_actions():
    text = (ROOT / "docs/simulate.md").read_text()
    assert re.findall(r"^\| `([a-z-]+)` \|", text, re.M) == list(scenario.ACTIONS)
    example = re.search(r"```\n(\[.*?\n\])\n```", text, re.S).group(1)
    assert [event.t_ms for event in scenario.check(json.loads(example))] == [4000, 6000, 7000]


def test_events_come_in_order_of_time_and_else_as_written(tmp_path):
    rows = [
        {"t_ms": 50, "action": "press"},
        {"t_ms": 7, "action": "network", "value": "down"},
        {"t_ms": 50, "action": "light-fails", "value": True},
    ]
    (tmp_path / "s.json").write_text(json.dumps(rows))
    assert scenario.read(tmp_path / "s.json") == (
        Event(7, "network", "down"),
        Event(50, "press"),
        Event(50, "light-fails", True),
    )


@pytest.mark.parametrize(
    "row, words",
    [
        (5, "not an object"),
        ({"t_ms": 5}, "no action None"),
        ({"t_ms": 5, "action": "dance"}, "no action 'dance'"),
        ({"t_ms": 5, "action": ["press"]}, "no action ['press']"),
        ({"action": "press"}, "t_ms is None"),
        ({"t_ms": True, "action": "press"}, "t_ms is True"),
        ({"t_ms": 1.5, "action": "press"}, "t_ms is 1.5"),
        ({"t_ms": -1, "action": "press"}, "t_ms is -1"),
        ({"t_ms": scenario.MAX_T_MS + 1, "action": "press"}, "t_ms is"),
        ({"t_ms": 5, "action": "press", "value": None}, "press takes no value"),
        ({"t_ms": 5, "action": "press", "when": 1}, "unknown key 'when'"),
        ({"t_ms": 5, "action": "switch", "value": True}, "switch of True"),
        ({"t_ms": 5, "action": "switch", "value": []}, "switch of []"),
        ({"t_ms": 5, "action": "network"}, "network of None"),
        ({"t_ms": 5, "action": "network-delay-ms", "value": 15}, "of 15"),
        ({"t_ms": 5, "action": "network-delay-ms", "value": 10010}, "of 10010"),
        ({"t_ms": 5, "action": "light-fails", "value": 1}, "light-fails of 1"),
        ({"t_ms": 5, "action": "request", "value": ""}, "request of ''"),
        ({"t_ms": 5, "action": "request", "value": "a\nb"}, "request of"),
        ({"t_ms": 5, "action": "request", "value": "a" * 65}, "request of"),
        ({"t_ms": 5, "action": "cable", "value": ""}, "cable of ''"),
        ({"t_ms": 5, "action": "cable", "value": "\u0100"}, "cable of 'Ā'"),
        ({"t_ms": 5, "action": "cable", "value": "a" * 1001}, "cable of"),
        ({"t_ms": 5, "action": "cable", "value": 5}, "cable of 5"),
        ({"t_ms": 5, "action": "cable-host", "value": "gone"}, "cable-host of 'gone'"),
        ({"t_ms": 50, "action": "power-loss", "value": -10}, "power-loss of -10"),
        ({"t_ms": 9, "action": "power-loss", "value": 0}, "before the device has power"),
    ],
)
def test_what_is_wrong_is_named_with_its_number(row, words):
    with pytest.raises(HostToolError) as caught:
        scenario.check([{"t_ms": 0, "action": "press"}, row], "s.json")
    assert caught.value.message.startswith("s.json: event 2: ") and words in caught.value.message
    assert caught.value.hint


def test_limits_are_taken_and_one_more_is_not():
    scenario.check([{"t_ms": scenario.MAX_T_MS, "action": "press"}])
    scenario.check([{"t_ms": 0, "action": "network-delay-ms", "value": scenario.MAX_DELAY_MS}])
    scenario.check([{"t_ms": 0, "action": "request", "value": "a" * 64}])
    scenario.check([{"t_ms": 0, "action": "cable", "value": "\x00\xff" * 500}])
    rows = [{"t_ms": 0, "action": "press"}] * scenario.MAX_EVENTS
    assert len(scenario.check(rows)) == scenario.MAX_EVENTS
    with pytest.raises(HostToolError, match="10001 events"):
        scenario.check([*rows, rows[0]])


@pytest.mark.parametrize("text", ["", "{}", "[", "[" * 100_000, '{"t_ms": 1}', "nonsense"])
def test_what_is_no_script_is_refused_before_anything_runs(tmp_path, capsys, text):
    (tmp_path / "s.json").write_text(text)
    status = cli.run(["simulate", "none.wav", "--scenario", str(tmp_path / "s.json")])
    err = capsys.readouterr().err
    assert status == 2 and f"{tmp_path}/s.json: " in err and "hint: " in err
    (tmp_path / "s.json").write_bytes(b"\xff\xfe")
    with pytest.raises(HostToolError, match="UTF-8"):
        scenario.read(tmp_path / "s.json")
    (tmp_path / "s.json").write_text("[" + " " * scenario.MAX_BYTES)
    with pytest.raises(HostToolError, match="larger"):
        scenario.read(tmp_path / "s.json")
