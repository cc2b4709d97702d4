"""Finishes an installation that lost its power half-way, before main.py runs.

`earnest install` copies new files into /new under names without folders, and when all are there
and right, gives /new/installed.json its name.  From then on the new version is the one that
counts: the steps below lead to it from wherever the power went, and a file is moved by one rename.
Until then nothing of the old version has been touched.  An error here keeps main.py from running.
Imports os and json only; MicroPython starts it before main.py.
"""

import os

STAGE = "new"
MANIFEST = "installed.json"
_ENOENT = 2


def staged(name):
    """Where a file waits: folders in its name become `~`."""
    return STAGE + "/" + name.replace("/", "~")


def finish(system=os, opener=open):
    """Move what waits into place, remove what is not needed any more; True when there was any."""
    try:
        file = opener(STAGE + "/" + MANIFEST)
    except OSError as error:
        if error.args[0] != _ENOENT:
            raise
        return False
    import json

    manifest = json.load(file)
    file.close()
    for name in manifest["files"]:
        try:
            system.rename(staged(name), name)
        except OSError as error:
            if error.args[0] != _ENOENT:  # not there: moved before, or not changed
                raise
    for name in manifest["remove"]:
        try:
            system.remove(name)
        except OSError as error:
            if error.args[0] != _ENOENT:
                raise
    system.rename(STAGE + "/" + MANIFEST, MANIFEST)
    if hasattr(system, "sync"):
        system.sync()
    return True


finish()
