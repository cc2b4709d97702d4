"""How the receiver's owner reaches it while it runs: signals, and commands on standard input."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Any

from firmware.satellite import protocol
from host_tools.errors import HostToolError

_READ_BYTES = 4096
COMMANDS = "mute, stop, less-sensitive WORD CUTOFF, or send TYPE"


def message_of(line: str) -> tuple[str, dict[str, Any] | None] | None:
    """Return (type, data) of the message that an owner's command sends; None for `stop`.

    Raises:
        HostToolError: it is not one of COMMANDS.
    """
    match line.split():
        case ["mute"]:
            return protocol.MUTE, None
        case ["stop"]:
            return None
        case ["send", *kind] if kind:
            return " ".join(kind), None
        case ["less-sensitive", word, cutoff]:
            return protocol.SENSITIVITY, _sensitivity(word, cutoff)
        case _:
            raise HostToolError(f"unknown command {line!r}", f"it is {COMMANDS}")


def _sensitivity(word: str, cutoff: str) -> dict[str, Any]:
    try:
        exact = 1000 * float(cutoff)
        thousandths = round(exact)
    except (ValueError, OverflowError):
        exact = thousandths = 0
    if abs(exact - thousandths) > 1e-6 or not protocol.is_cutoff(thousandths):
        raise HostToolError(f"{cutoff!r} is not a cutoff", "0.1 to 0.99 in steps of 0.001")
    if not protocol.is_word(word):
        raise HostToolError(f"{word!r} is not a wake word", "a name of `earnest status`")
    return {"model": word, "cutoff_thousandths": thousandths}


def stop_on_signals(stop: Callable[[], object]) -> None:
    """Call `stop` in the running loop on SIGINT (Ctrl-C) and SIGTERM."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, stop)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop))


def obey_stdin(obey: Callable[[str], Awaitable[None]]) -> None:
    """Hand each line of standard input to `obey`, in the running loop, until its end."""
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[str] = asyncio.Queue()
    # os.read, not readline: a thread that waits within a buffered file hinders Python's end.
    descriptor = sys.stdin.fileno()

    def read() -> None:
        rest = b""
        while data := os.read(descriptor, _READ_BYTES):
            *whole, rest = (rest + data).split(b"\n")
            for line in whole:
                text = line.decode(errors="replace").strip()
                loop.call_soon_threadsafe(lines.put_nowait, text)

    async def pass_on() -> None:
        while True:
            await obey(await lines.get())

    threading.Thread(target=read, daemon=True, name="commands").start()
    _running.add(task := asyncio.create_task(pass_on()))
    task.add_done_callback(_running.discard)


#: asyncio keeps only weak references to tasks.
_running: set[asyncio.Task[None]] = set()


def end_within(seconds: float, last: Callable[[], None]) -> None:
    """End the process after this time if it is still there: a thread may wait for the network,
    which the interpreter would wait for.

    Args:
        seconds: From now on.
        last: What has to be done before, by the thread that ends the process.
    """

    def end() -> None:
        last()
        sys.stdout.flush()
        os._exit(0)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
