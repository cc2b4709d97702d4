"""The host's MicroPython: firmware on the path, heap as asked, streams, and failures in words."""

import pytest

from host_tools import micropython
from host_tools.errors import HostToolError

ECHO = """
import sys
while True:
    data = sys.stdin.buffer.read(4)
    if not data:
        break
    print(len(data), sum(data))
"""


def test_runs_with_firmware_on_the_path_and_the_heap_asked_for(run_micropython):
    source = "import gc, sys, wakeword; print(sys.implementation[0]); "
    source += "print(gc.mem_free() + gc.mem_alloc()); print(sys.argv[1:])"
    name, heap, arguments = (
        run_micropython(source, "a", 2, heap_bytes=300_000).decode().split("\n")[:3]
    )
    assert name == "micropython"
    assert 280_000 < int(heap) <= 300_000, heap
    assert arguments == "['a', '2']"


def test_every_byte_reaches_stdin(run_micropython):
    source = "import sys; print(sum(sys.stdin.buffer.read()))"
    assert run_micropython(source, stdin=bytes(range(256)) * 9) == b"%d\n" % (sum(range(256)) * 9)


def test_stream_gives_lines_while_it_feeds(tmp_path):
    script = tmp_path / "echo.py"
    script.write_text(ECHO)
    blocks = (bytes([i, 0, 0, 1]) for i in range(250))
    lines = list(micropython.stream(script, stdin=blocks))
    assert lines == [b"4 %d" % (i + 1) for i in range(250)]


def test_stream_can_be_left_early(tmp_path):
    script = tmp_path / "echo.py"
    script.write_text(ECHO)
    blocks = (bytes(4) for _ in iter(int, 1))  # endless
    lines = micropython.stream(script, stdin=blocks)
    assert next(lines) == b"4 0"
    lines.close()


def test_a_failing_script_is_an_error_with_its_last_words(tmp_path):
    script = tmp_path / "bad.py"
    script.write_text("raise ValueError('the reason')")
    with pytest.raises(HostToolError, match="ValueError: the reason"):
        list(micropython.stream(script, stdin=[b"x" * 100_000] * 20))


def test_an_error_in_the_input_comes_out_as_it_is(tmp_path):
    script = tmp_path / "echo.py"
    script.write_text(ECHO)

    def broken():
        yield bytes(8)
        raise HostToolError("damaged", "hint")

    with pytest.raises(HostToolError, match="damaged"):
        list(micropython.stream(script, stdin=broken()))


def test_no_native_emitter_is_a_sentence(monkeypatch):
    monkeypatch.setattr(micropython, "has_native_emitter", lambda: False)
    with pytest.raises(HostToolError, match="no native emitter") as caught:
        micropython.require_native_emitter()
    assert "x86-64" in caught.value.hint


def test_viper_is_found_here_when_it_works(native_emitter):
    micropython.has_native_emitter.cache_clear()
    assert micropython.has_native_emitter() is True
