"""What the receiver shows: a level that is right, lines that cannot be forged."""

import contextlib
import io
import math
import re

import numpy as np
from rich.console import Console

from host_tools.receiver.view import LiveView, LogView, level_dbfs
from host_tools.shared_firmware import ROOT
from host_tools.simulation.loopback import LoopbackReceiver
from tests.fakes.simulated import simulate, wake_and_command


def shown(*told):
    """What a log that goes to a file says of these events."""
    memory = io.StringIO()
    with contextlib.redirect_stdout(memory):
        view = LogView()
        for event, fields in told:
            view.emit(event, **fields)
        view.close()
    return memory.getvalue()


def test_level_of_a_sine_and_of_silence():
    sine = (np.sin(np.arange(16000) * 2 * math.pi / 160) * 32767).astype("<i2")
    assert abs(level_dbfs(sine.tobytes()) + 3.01) < 0.01
    assert abs(level_dbfs((sine // 10).tobytes()) + 23.01) < 0.1
    assert level_dbfs(bytes(320)) == level_dbfs(b"") == -96.0


def test_what_others_say_is_no_markup():
    text = shown(("transcript", {"text": "[red]on[/red]", "stream": "0"}))
    assert "“[red]on[/red]”" in text


def test_what_others_say_cannot_forge_a_line_or_reach_the_terminal():
    hostile = "on\n2026-01-01 00:00:00 INFO \x1b[31mforged"
    for event, fields in (
        ("transcript", {"text": hostile}),
        ("detection", {"name": hostile}),
        ("disconnected", {"device": "kitchen", "reason": hostile}),
    ):
        [line] = shown((event, fields)).splitlines()
        assert "\x1b" not in line and "forged" in line


def test_lines_have_a_date_and_a_level_and_are_never_wrapped():
    lines = shown(("detection", {"name": "w" * 300}), ("warning", {"message": "m"})).splitlines()
    assert len(lines) == 2
    for line, level in zip(lines, ("INFO", "WARNING"), strict=True):
        assert re.match(rf"\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d {level} +\S", line), line


def test_verbose_shows_every_message():
    told = ("received", {"device": "kitchen", "type": "ping"})
    assert shown(told) == ""
    memory = io.StringIO()
    with contextlib.redirect_stdout(memory):
        view = LogView(is_verbose=True)
        view.emit(told[0], **told[1])
        view.close()
    assert "DEBUG   kitchen sent ping" in memory.getvalue()


def test_yes_no_and_nothing_in_words():
    text = shown(
        (
            "stream-stop",
            {"stream": "00ff", "reason": "audio-stop", "duration_ms": 10, "recording": None},
        ),
        ("withdrawn", {"device": "d", "keep_recordings": False, "share_for_training": True}),
    )
    assert "recording -" in text and "keep no, training yes" in text


def masked(lines):
    """Without what differs from run to run."""
    for pattern, mask in (
        (r"[0-9a-f]{16}", "ID"),
        (r"\d+\.\d+\.\d+\.\d+", "ADDRESS"),
        (r"\d+", "N"),
    ):
        lines = re.sub(pattern, mask, lines)
    return lines.splitlines()


def test_the_quickstart_shows_what_a_device_and_the_receiver_make(tmp_path, monkeypatch):
    told = []
    end = LoopbackReceiver.end

    def ending(self):
        streams = end(self)
        told.extend(self.events)
        return streams

    monkeypatch.setattr(LoopbackReceiver, "end", ending)
    simulate(tmp_path, wake_and_command(), with_receiver=True)
    names = [event["event"] for event in told]
    told = told[names.index("listening") : names.index("stream-stop") + 1]
    told[0]["name"] = "earnest-receiver"
    lines = shown(*((event.pop("event"), {**event, "device": "kitchen"}) for event in told))
    page = (ROOT / "docs" / "quickstart.md").read_text(encoding="utf-8")
    [block] = re.findall(r"```\n(\S+ \S+ INFO +listening on.*?)```", page, re.S)
    assert masked(block) == masked(lines)


def test_the_live_view_shows_state_and_a_meter():
    view = LiveView(Console(file=io.StringIO(), force_terminal=True, width=100))
    try:
        view.emit("connected", device="kitchen", address="127.0.0.1:1")
        assert "1 device connected" in view.status(-60).plain
        view.emit("stream-start", stream="00ff")
        assert "receiving" in view.status(-60).plain and "█" not in view.status(-60).plain
        assert view.status(0).plain.count("█") == 30 and view.status(-30).plain.count("█") == 15
        view.level(bytes(320))
        view.emit("stream-stop", stream="00ff", reason="lost", duration_ms=0, recording=None)
        assert "idle" in view.status(-60).plain
    finally:
        view.close()
