"""LittleFS on a flash whose power goes at a given write or erasure, half of which is still done.

All in one start of MicroPython: from the same files each time, for the first operation of the
flash, the second and so on, until the code gets to its end.  And that after so many earlier
writes that LittleFS makes its directory anew at one operation or another.
"""

from __future__ import annotations

BLOCKS = 64
EARLIER_WRITES = (0, *range(36, 54))

_SCRIPT = """
import os, vfs
class Flash:
    def __init__(self, data):
        self.data, self.left = data, None
    def readblocks(self, n, buf, off=0):
        at = n * 4096 + off
        buf[:] = self.data[at:at + len(buf)]
    def writeblocks(self, n, buf, off=0):
        count = len(buf)
        if self.left is not None:
            count //= 2 if self.left == 0 else 1
            count *= self.left >= 0
            self.left -= 1
        at = n * 4096 + off
        self.data[at:at + count] = bytes(buf)[:count]
        if count < len(buf):
            raise OSError(5)
    def ioctl(self, op, arg):
        if op == 4:
            return {blocks}
        if op == 5:
            return 4096
        if op == 6:
            self.writeblocks(arg, b"\\xff" * 4096)
        return 0
def mount(flash):
    vfs.mount(vfs.VfsLfs2(flash), "/")
    os.chdir("/")
def put(name, data):
    with open(name, "wb") as file:
        file.write(data)
def get(name):
    try:
        with open(name, "rb") as file:
            return file.read()
    except OSError:
        return None
vfs.umount("/")
operations = []
for earlier in {earlier}:
    base = Flash(bytearray(b"\\xff" * 4096 * {blocks}))
    vfs.VfsLfs2.mkfs(base)
    mount(base)
    exec({prepare!r})
    for count in range(earlier):
        put("other", b"%d" % count)
    if earlier:
        os.remove("other")
    vfs.umount("/")
    done, ended = -1, False
    while not ended:
        done += 1
        flash = Flash(bytearray(base.data))
        mount(flash)
        flash.left = done
        try:
            exec({code!r}, {{}})
            ended = flash.left >= 0
        except OSError as error:
            assert error.args[0] == 5, error
        vfs.umount("/")
        flash.left = None
        mount(flash)
        exec({check!r})
        vfs.umount("/")
    operations.append(done)
print(min(operations), max(operations))
"""


def sweep(run_micropython, prepare: str, code: str, check: str) -> None:
    """Run `code` on the files of `prepare` with the power lost at every operation of the flash;
    after each, `check` (with `get` and `put`) on the mounted rest."""
    script = _SCRIPT.format(
        blocks=BLOCKS, earlier=EARLIER_WRITES, prepare=prepare, code=code, check=check
    )
    fewest, most = map(int, run_micropython(script).split())
    assert 3 < fewest < most, "no operation made the directory anew"
