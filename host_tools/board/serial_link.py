"""The serial line to a board: code and files through MicroPython's raw REPL.

Every command that speaks to a board goes through `SerialLink`, a context manager over mpremote's
SerialTransport.  It opens with errors a person can act on (serial_port), runs code under a time
limit and leaves a device running that ran (raw_repl), and here checks what it copies.  Must not
import the firmware.

    with SerialLink(find_port(port)) as link:
        print(link.exec_json("import json, os; print(json.dumps(os.listdir()))"))
"""

from __future__ import annotations

import binascii
import hashlib
import re
from collections.abc import Callable

from host_tools.board.raw_repl import DEFAULT_TIMEOUT_S, DeviceError, RawREPL
from host_tools.board.serial_port import BAUD, LineLostError, LinkError

PUT_CHUNK_BYTES = 512
PUT_ATTEMPTS = 3
MAX_FILE_BYTES = 4 << 20

_SHA256 = re.compile(rb"<([0-9a-f]{64}|)>")
_HASH = """def _earnest_hash(p):
 import hashlib, binascii
 try:
  f = open(p, "rb")
 except OSError:
  return ""
 h = hashlib.sha256()
 b = bytearray(512)
 while 1:
  n = f.readinto(b)
  if not n:
   break
  h.update(memoryview(b)[:n])
 f.close()
 return binascii.hexlify(h.digest()).decode()
"""


class SerialLink(RawREPL):
    """A raw REPL with files."""

    def __init__(self, port: str, baud: int = BAUD) -> None:
        super().__init__(port, baud)
        self._has_hash = False

    def soft_reset(self) -> None:
        super().soft_reset()
        self._has_hash = False

    def put(self, path: str, data: bytes, progress: Callable[[int], object] | None = None) -> None:
        """Write a file and compare its SHA-256 as the device computes it; tries again when the
        line spoiled it.  `progress` gets the bytes written since it was last called.  Not atomic:
        write to another name and rename it."""
        want = hashlib.sha256(data).hexdigest()
        for attempt in range(PUT_ATTEMPTS):
            written = 0
            try:
                self.exec(f"f=open({path!r},'wb')\nw=f.write")
                for at in range(0, len(data), PUT_CHUNK_BYTES):
                    chunk = data[at : at + PUT_CHUNK_BYTES]
                    self.exec(f"b={chunk!r}\nif w(b)!=len(b): raise OSError(28)")
                    written += len(chunk)
                    if progress is not None:
                        progress(len(chunk))
                self.exec("f.close()\nimport os\nhasattr(os,'sync') and os.sync()")
                if self.sha256(path) == want:
                    return
            except LineLostError:
                raise
            except DeviceError as error:  # code that the line spoiled makes any error but this
                if "OSError" in error.traceback or attempt == PUT_ATTEMPTS - 1:
                    raise
            except LinkError:
                if attempt == PUT_ATTEMPTS - 1:
                    raise
            if progress is not None:
                progress(-written)
        raise LinkError(
            f"{self.port}: {path} arrived damaged {PUT_ATTEMPTS} times",
            "use a shorter cable or another USB port",
        )

    def get(self, path: str, max_bytes: int = MAX_FILE_BYTES) -> bytes | None:
        """A file's bytes, checked by SHA-256; None when there is no such file."""
        for _ in range(PUT_ATTEMPTS):
            want = self.sha256(path)
            if not want:
                return None
            text = self.repeat(
                f"import binascii\nf=open({path!r},'rb')\nk={max_bytes}\n"
                "while k>0:\n b=f.read(min(k,384))\n if not b: break\n k-=len(b)\n"
                " print(binascii.b2a_base64(b).decode(),end='')\nf.close()",
                timeout_s=DEFAULT_TIMEOUT_S + max_bytes / 2000,
            )
            try:
                data = b"".join(binascii.a2b_base64(line) for line in text.splitlines())
            except ValueError:
                continue
            if hashlib.sha256(data).hexdigest() == want:
                return data
            if len(data) >= max_bytes:
                raise LinkError(
                    f"{path} on the device is longer than {max_bytes} bytes", "remove it there"
                )
        raise LinkError(
            f"{self.port}: {path} arrived damaged {PUT_ATTEMPTS} times",
            "use a shorter cable or another USB port",
        )

    def sha256(self, path: str) -> str:
        """Hexadecimal SHA-256 of a file, computed on the device; empty when there is none."""
        code = f"print('<'+_earnest_hash({path!r})+'>')"
        if not self._has_hash:
            self.repeat(_HASH)
            self._has_hash = True
        try:
            answer = self.repeat(code, 20, _SHA256.search)
        except DeviceError as error:
            if "NameError" not in error.traceback:
                raise
            self.repeat(_HASH)  # the device was reset and has forgotten it
            answer = self.repeat(code, 20, _SHA256.search)
        found = _SHA256.search(answer)
        assert found is not None
        return found[1].decode()
