"""Plays a WAV with what this computer has: no dependency for one command.

The player gets a file in memory where the system has that; elsewhere a file for the owner alone,
which is overwritten and removed afterwards.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from host_tools.errors import HostToolError
from host_tools.receiver import owner_only_files
from host_tools.receiver.recording_keys import overwrite

#: The first one on the path plays.
PLAYERS = (
    ("pw-play",),
    ("paplay",),
    ("aplay", "-q"),
    ("afplay",),
    ("ffplay", "-nodisp", "-autoexit", "-loglevel", "error"),
)


def play_wav(wav: bytes) -> None:
    """Play a WAV file's bytes and wait until it is over; raises HostToolError."""
    if sys.platform == "win32":
        import winsound  # of Windows' Python only

        winsound.PlaySound(wav, winsound.SND_MEMORY)
        return
    for player in PLAYERS:
        if (found := shutil.which(player[0])) is not None:
            with _readable(wav) as (path, descriptors):
                done = subprocess.run(
                    [found, *player[1:], path], stdin=subprocess.DEVNULL, pass_fds=descriptors
                )
            if done.returncode:
                raise HostToolError(
                    f"{player[0]} could not play it", "export it, and play it elsewhere"
                )
            return
    names = ", ".join(player[0] for player in PLAYERS)
    raise HostToolError(
        f"there is no program here that plays a WAV ({names})",
        "install one (sudo apt-get install alsa-utils), or export it and play it elsewhere",
    )


@contextlib.contextmanager
def _readable(wav: bytes) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Give a path under which the player finds the WAV, and the descriptors that it needs."""
    if sys.platform == "linux":
        descriptor = os.memfd_create("recording")
        try:
            os.write(descriptor, wav)
            yield f"/proc/self/fd/{descriptor}", (descriptor,)
        finally:
            os.close(descriptor)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "recording.wav"
        owner_only_files.write(path, wav)
        try:
            yield str(path), ()
        finally:
            overwrite(path)
