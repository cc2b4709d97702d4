"""Where `earnest flash` gets a board's MicroPython image: a file, the cache, or a download.

Place: above chip_image, which says what an image is.  Only what has the SHA-256 of board.json is
downloaded, and only that reaches the cache, whole or not at all.
"""

from __future__ import annotations

import hashlib
import http.client
import sys
import urllib.request
from pathlib import Path

import click
from rich.console import Console
from rich.progress import wrap_file

from host_tools import atomic_file
from host_tools.board.definition import Board
from host_tools.board.flash_image import MAX_IMAGE_BYTES
from host_tools.errors import HostToolError
from host_tools.shared_firmware import ROOT

CACHE = ROOT / "build" / "images"
TIMEOUT_S = 60  # without a byte
PIECE_BYTES = 1 << 16


def get_image(board: Board, given: Path | None) -> tuple[Path, bytes]:
    """The image's file and bytes: what was given, the cache, or a download that is pinned."""
    source = board.micropython
    if given is not None:
        try:
            with given.open("rb") as file:
                data = file.read(MAX_IMAGE_BYTES + 1)
        except OSError as error:
            raise HostToolError(f"{given}: {error.strerror}", "check the image's path") from error
        if source.sha256 and _digest(data) != source.sha256:
            click.echo(f"note: {given} is not the image that board.json pins", err=True)
        return given, data
    cached = image_path(board)
    by_hand = f"get it from {source.page} and give it: --image {cached.name}"
    if source.sha256 is None:
        raise HostToolError(
            f"the SHA-256 of {cached.name} is not pinned in board.json, so it is not downloaded",
            by_hand,
        )
    if found := cached_image(board):
        return found
    data = download(source.image, by_hand)
    if _digest(data) != source.sha256:
        raise HostToolError(
            f"what {source.image} gives is not what board.json pins", f"do not use it; {by_hand}"
        )
    try:
        cached.parent.mkdir(parents=True, exist_ok=True)
        atomic_file.write(cached, data)
    except OSError as error:
        raise HostToolError(f"{cached}: {error.strerror}", by_hand) from error
    return cached, data


def cached_image(board: Board) -> tuple[Path, bytes] | None:
    """The image's file and bytes, where it was downloaded before; raises HostToolError."""
    path = image_path(board)
    try:
        if path.is_file() and _digest(data := path.read_bytes()) == board.micropython.sha256:
            return path, data
    except OSError as error:
        raise HostToolError(f"{path}: {error.strerror}", "remove it, then try again") from error
    return None


def image_path(board: Board) -> Path:
    """Where the board's image is kept once it is downloaded."""
    return CACHE / board.micropython.image.rsplit("/", 1)[-1]


def download(url: str, by_hand: str) -> bytes:
    """At most MAX_IMAGE_BYTES + 1 of the URL, with a bar on a terminal; HostToolError with the
    hint `by_hand` when it cannot be had whole."""
    data = bytearray()
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:
            shown = wrap_file(
                answer,
                total=answer.length or MAX_IMAGE_BYTES,
                description=url.rsplit("/", 1)[-1],
                console=Console(stderr=True),
                disable=not sys.stderr.isatty(),
            )
            with shown as pieces:
                while piece := pieces.read(min(PIECE_BYTES, MAX_IMAGE_BYTES + 1 - len(data))):
                    data += piece
            if answer.length and len(data) <= MAX_IMAGE_BYTES:
                raise OSError(f"it ended after {len(data)} bytes, {answer.length} before its end")
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise HostToolError(f"{url} cannot be downloaded: {reason}", by_hand) from error
    return bytes(data)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
