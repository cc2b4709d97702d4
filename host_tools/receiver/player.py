"""Plays a WAV file with what this computer has: no dependency for one command."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from host_tools.errors import HostToolError

#: The first one on the path plays.
PLAYERS = (
    ("pw-play",),
    ("paplay",),
    ("aplay", "-q"),
    ("afplay",),
    ("ffplay", "-nodisp", "-autoexit", "-loglevel", "error"),
)


def play_wav(path: Path) -> None:
    """Play the file and wait until it is over; raises HostToolError."""
    if sys.platform == "win32":
        import winsound  # of Windows' Python only

        winsound.PlaySound(str(path), winsound.SND_FILENAME)
        return
    for player in PLAYERS:
        if (found := shutil.which(player[0])) is not None:
            done = subprocess.run([found, *player[1:], str(path)], stdin=subprocess.DEVNULL)
            if done.returncode:
                raise HostToolError(
                    f"{player[0]} could not play {path}", "export it, and play it elsewhere"
                )
            return
    names = ", ".join(player[0] for player in PLAYERS)
    raise HostToolError(
        f"there is no program here that plays a WAV ({names})",
        "install one (sudo apt-get install alsa-utils), or export it and play it elsewhere",
    )
