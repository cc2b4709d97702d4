"""Asks the owner's program: the words on its standard input, the reply on its standard output.

No shell.  A program that hangs, floods or leaves children behind is ended with all of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from pathlib import Path

from host_tools.errors import HostToolError
from host_tools.receiver.cancellation import within
from host_tools.receiver.transcription import clean

#: From its start to its end.
ANSWER_S = 10.0
#: What it may print; what is spoken ends after 30 s anyway.
MAX_OUTPUT_BYTES = 16384
#: Of its complaint, for the owner.
_MAX_COMPLAINT_BYTES = 4096


class ProgramError(Exception):
    """Why there is no reply, for the owner."""


def find(name: str) -> Path:
    """Return the program's whole path, which is looked up as a shell would; raises
    HostToolError."""
    found = shutil.which(name)
    if found is None:
        raise HostToolError(
            f"{name!r} is not a program",
            "name a file that may be executed (chmod +x), as in --run ./answer.py",
        )
    return Path(found).absolute()


async def ask(program: Path, text: str, extra: dict[str, str] | None = None) -> str | None:
    """Run the program once.

    Args:
        program: Its path; it gets no arguments.
        text: What was said: one line on its standard input, which then ends.
        extra: Further variables of its environment.

    Returns:
        What it printed, in one line of printable characters; empty if it printed nothing; None if
        it ended with status 1: not meant for it.

    Raises:
        ProgramError: it cannot be run, hangs, prints too much, or ends with another status.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            str(program),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, **(extra or {})},
            start_new_session=True,
        )
    except OSError as error:
        raise ProgramError(f"cannot run {program}: {error.strerror}") from error
    try:
        output, complaint = await within(ANSWER_S, _talk(process, text))
    except asyncio.TimeoutError as error:
        raise ProgramError(f"{program.name} takes longer than {ANSWER_S:.0f} s") from error
    finally:
        _end(process)
        await process.wait()
    if process.returncode == 0:
        return clean(output)
    if process.returncode == 1:
        return None
    last = complaint.strip().rpartition("\n")[2]
    raise ProgramError(f"{program.name} ended with status {process.returncode}: {clean(last)}")


async def _talk(process: asyncio.subprocess.Process, text: str) -> tuple[str, str]:
    """Return what it printed and its complaint, once it has ended."""
    assert process.stdin and process.stdout and process.stderr
    reading = asyncio.gather(
        _read(process.stdout, MAX_OUTPUT_BYTES), _read_end(process.stderr, _MAX_COMPLAINT_BYTES)
    )
    try:
        with contextlib.suppress(OSError):  # it need not read
            process.stdin.write(text.encode() + b"\n")
            await process.stdin.drain()
        process.stdin.close()
        output, complaint = await reading
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
    await process.wait()
    return output.decode(errors="replace"), complaint.decode(errors="replace")


async def _read(stream: asyncio.StreamReader, limit: int) -> bytes:
    """Read to the end; raises ProgramError past `limit` bytes."""
    content = b""
    while data := await stream.read(limit + 1 - len(content)):
        content += data
        if len(content) > limit:
            raise ProgramError(f"it prints more than {limit} bytes")
    return content


async def _read_end(stream: asyncio.StreamReader, limit: int) -> bytes:
    """Read all, and return the last `limit` bytes."""
    content = b""
    while data := await stream.read(limit):
        content = (content + data)[-limit:]
    return content


def _end(process: asyncio.subprocess.Process) -> None:
    """End the program, and what it has started; let go of what it may still write."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # another user's (sudo)
        if os.name == "nt":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
    # asyncio waits for the end of its output, which a child that left the group may keep open, and
    # has no other way to close it.
    process._transport.close()  # type: ignore[attr-defined]
