"""The console beside the audio: waiting costs no memory, no answer holds up the loop for long."""

import asyncio
import gc
import socket
import sys

import micropython
from diagnostics import console, status


class Parts:
    pass


class Clock:
    """Moves when something is written."""

    us = 0x3FFFFFFF - 1000  # soon it wraps

    def ticks_us(self):
        return self.us & 0x3FFFFFFF

    def now_ms(self):
        return self.us // 1000


class Line:
    """Bytes that were typed; what was written, and how long each write takes."""

    def __init__(self, typed=b"", write_us=0, room=True, clock=None):
        self.typed = typed
        self.write_us = write_us
        self.room = room
        self.written = []
        self.clock = clock

    def read(self):
        if not self.typed:
            return None
        byte = self.typed[:1]
        self.typed = self.typed[1:]
        return byte

    def has_room(self):
        return self.room

    def write(self, text):
        self.clock.us += self.write_us
        self.written.append(text)


class Over(Exception):
    pass


def run(typed=b"", turns=400, **line):
    """A console that answers for so many sleeps; (what it wrote, its sleeps in ms)."""
    app = Parts()
    app.parts = Parts()
    app.parts.clock = Clock()
    cable = Line(typed, clock=app.parts.clock, **line)
    sleeps = []

    async def sleep_ms(ms):
        sleeps.append(ms)
        if len(sleeps) > turns:
            raise Over

    kept = console.newest, status.last_error
    console.newest = lambda: []
    status.last_error = lambda: "e" * 190
    try:
        asyncio.run(console.Console(app, None, cable, sleep_ms).run())
    except Over:
        pass
    finally:
        console.newest, status.last_error = kept
    return cable.written, sleeps


def test_waiting_for_a_line_allocates_nothing():
    """The real line and the real asyncio, with the heap locked."""

    async def wait():
        line = console.Line(
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        )  # a socket that nobody writes to
        waiting = asyncio.create_task(console.Console(None, None, line).run())
        await asyncio.sleep_ms(2 * console.STEP_MS)  # the first turns make what is kept
        gc.collect()
        micropython.heap_lock()
        await asyncio.sleep_ms(5 * console.STEP_MS)
        is_well = not waiting.done()
        micropython.heap_unlock()
        assert is_well
        waiting.cancel()

    asyncio.run(wait())


def test_lines_are_looked_for_less_often_while_nobody_types():
    quiet, step = console.QUIET_LOOKS, console.STEP_MS
    assert run(turns=quiet + 20)[1] == quiet * [step] + 21 * [console.QUIET_STEP_MS]
    sleeps = run(b"diag.log()\r", turns=quiet + 40)[1]
    assert sleeps[-1] == console.QUIET_STEP_MS and sleeps[quiet] == step, "an answer begins anew"


def test_an_answer_leaves_in_small_pieces_with_longer_pauses():
    for write_us, pause_ms in ((0, console.PIECE_MS), (3000, 8), (5500, 11), (90000, 180)):
        written, sleeps = run(b"diag.log()\r", turns=40, write_us=write_us)
        assert "".join(written) == "last error  %s\n" % ("e" * 190)
        assert [len(piece) for piece in written] == [64, 64, 64, 11]
        assert sleeps[:5] == [console.STEP_MS] + 4 * [pause_ms], sleeps[:6]
        assert sleeps[5:] == [console.STEP_MS] * len(sleeps[5:])


def test_a_host_that_does_not_read_gets_nothing_and_costs_nothing():
    written, sleeps = run(b"diag.log()\rdiag.log()\r", room=False, turns=200)
    assert written == []
    assert set(sleeps) == {console.STEP_MS, console.PIECE_MS}
    assert sleeps.count(console.PIECE_MS) == 2 * (console.ROOM_LOOKS - 1)


def test_a_write_that_stalls_is_the_last_for_seconds():
    written, sleeps = run(b"diag.log()\r" * 3, write_us=500000, turns=6)
    assert len(written) == 3 and all(len(piece) == 64 for piece in written)
    assert [ms for ms in sleeps if ms != console.STEP_MS] == [console.DEAF_MS] * 3
    assert len(run(b"diag.log()\r", write_us=console.STALL_US)[0]) == 4
    assert len(run(b"diag.log()\r", write_us=console.STALL_US + 1)[0]) == 1


def test_lines_leave_in_one_write():
    """Each write waits anew for a host that does not read (stdout_helpers.c)."""

    class Target:
        written = []

        def write(self, data):
            self.written.append(data)

    console.Line(socket.socket(), Target()).write("state IDLE\nmuted no\n")
    assert Target.written == ["state IDLE\r\nmuted no\r\n"], Target.written
    assert hasattr(sys.stdout.buffer, "write")


def test_lines_by_what_is_in_them():
    answer = "last error  %s\n" % ("e" * 190)
    for typed in (
        b"diag.log()",
        b"import diag; diag.log()",
        b"  diag.log()  ",
        b"\x00diag.log()\xff",
    ):
        for end in (b"\r", b"\n", b"\r\n"):
            assert "".join(run(typed + end)[0]) == answer, typed
    for typed in (
        b"diag.log",
        b"diag.log(",
        b"diag.log(json=False)",
        b"diag.log(json=True)x",
        b"diag.log()(json=True)",
        b"x" * console.MAX_LINE_BYTES + b"diag.log()",
        b"diag.selftest()",
        b"import diag;diag.log()",
        b"Diag.log()",
    ):
        assert "".join(run(typed + b"\r")[0]) == console.HELP + "\n", typed
    for typed in (b"", b"\r\n\r\n", b"diag.log()", b" \t\r", b"\xff\x80\r"):
        assert run(typed)[0] == [], typed
    at_limit = b"import diag; " + b"diag.log()"
    at_limit = b" " * (console.MAX_LINE_BYTES - len(at_limit)) + at_limit
    assert "".join(run(at_limit + b"\r")[0]) == answer
    assert "".join(run(b" " + at_limit + b"\r")[0]) == console.HELP + "\n"
