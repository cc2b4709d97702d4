"""Fetches a board's audit log over the serial line, for `earnest audit --port`."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from firmware.satellite.config import Config
from host_tools.board.inventory import read_config
from host_tools.board.personal_data import MAX_FILE_BYTES
from host_tools.board.serial_link import SerialLink
from host_tools.board.serial_port import find_port
from host_tools.errors import HostToolError

_LIST = (
    "import json, os\nprint(json.dumps([n for n in os.listdir()"
    " if n == 'audit.head' or n.startswith('audit.') and n.endswith('.jsonl')]))"
)


@dataclass(frozen=True)
class Fetched:
    """The folder with the log's files, and the board's certificate (DER), if it has one."""

    folder: Path
    certificate: bytes | None


@contextlib.contextmanager
def fetched(port: str, export: Path | None) -> Iterator[Fetched]:
    """Copy the log's files, checked by SHA-256, to `export` or to a temporary folder.

    The device is stopped meanwhile, so that the files belong together.  A file of another content
    is never overwritten: HostToolError.
    """
    with tempfile.TemporaryDirectory(prefix="earnest-") as temporary:
        folder = export or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        files: dict[str, bytes] = {}
        with SerialLink(find_port(port)) as link:
            for name in link.exec_json(_LIST):
                if "/" not in name and (data := link.get(name)) is not None:
                    files[name] = data
            certificate = _certificate(link)
        if not files:
            raise HostToolError(
                "there is no audit log on this board", "it begins at the first start of Earnest"
            )
        for name, data in files.items():
            path = folder / name
            if path.exists() and path.read_bytes() != data:
                raise HostToolError(f"{path} exists already", "export into an empty folder")
            path.write_bytes(data)
        yield Fetched(folder, certificate)


def _certificate(link: SerialLink) -> bytes | None:
    """Return the certificate by which the receiver knows the board."""
    used = read_config(link)[1] or Config.defaults()
    return link.get(used.ssl_certificate, MAX_FILE_BYTES)
