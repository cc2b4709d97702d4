"""Silences the amplifier, then finishes an installation that lost its power half-way.

`earnest install` copies new files into /new under names without folders, and when all are there
and right, gives /new/installed.json its name.  From then on the new version is the one that
counts: the steps below lead to it from wherever the power went, and a file is moved by one rename.
Until then nothing of the old version has been touched.  An error here keeps main.py from running.
MicroPython starts it before main.py; it imports nothing of ours but the board's constants.
"""

import os
import sys

STAGE = "new"
MANIFEST = "installed.json"
_ENOENT = 2


def silence():
    """Switch off an amplifier that a soft reset left on, as early as anything of ours can."""
    try:
        import board
        from machine import Pin

        Pin(board.SPEAKER_ENABLE, Pin.OUT, value=1 - getattr(board, "SPEAKER_ENABLE_ON", 1))
    except (ImportError, AttributeError, SyntaxError, NameError, TypeError, ValueError):
        pass  # no amplifier; or no board.py, or a damaged one, which main.py refuses
    sys.modules.pop("board", None)  # `finish` may replace it


def staged(name):
    """Where a file waits: folders in its name become `~`."""
    return STAGE + "/" + name.replace("/", "~")


def if_there(change, *names):
    """Rename or remove; what is not there was moved before, or has not changed."""
    try:
        change(*names)
    except OSError as error:
        if error.args[0] != _ENOENT:
            raise


def finish():
    """Move what waits into place, remove what is not needed any more; True when there was any."""
    # A rename that lost its power leaves LittleFS with a file too few to see in /new, until
    # something is written or removed, be it nothing (lfs_fs_forceconsistency).
    if_there(os.remove, staged("nothing"))
    try:
        file = open(STAGE + "/" + MANIFEST)
    except OSError as error:
        if error.args[0] != _ENOENT:
            raise
        return False
    import json

    manifest = json.load(file)
    file.close()
    # The owner's own, as the configuration, come along but are not compared with the manifest.
    for name in list(manifest["files"]) + manifest.get("owner_files", []):
        if_there(os.rename, staged(name), name)
    for name in manifest["remove"]:
        if_there(os.remove, name)
    os.rename(STAGE + "/" + MANIFEST, MANIFEST)
    if hasattr(os, "sync"):
        os.sync()
    return True


silence()
finish()
