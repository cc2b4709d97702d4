"""Where `earnest flash` gets a board's MicroPython image: a file, the cache, or a download.

Place: above flash_image, which says what an image is.  Only what has the SHA-256 of board.json is
downloaded, and only that reaches the cache, whole or not at all.
"""

from __future__ import annotations

import hashlib
import http.client
import urllib.request
from collections.abc import Callable
from pathlib import Path

from host_tools import atomic_file
from host_tools.board.definition import Board
from host_tools.board.flash_image import MAX_IMAGE_BYTES
from host_tools.errors import HostToolError
from host_tools.places import MADE
from host_tools.progress import OpenProgress, no_progress

CACHE = MADE / "images"
TIMEOUT_S = 60  # without a byte
PIECE_BYTES = 1 << 16


def get_image(
    board: Board,
    given: Path | None,
    note: Callable[[str], object],
    progress: OpenProgress = no_progress,
) -> tuple[Path, bytes]:
    """Return the image's file and bytes: what was given, the cache, or a pinned download.

    Args:
        board: whose image it shall be.
        given: the file that the person named, or None.
        note: takes a line that the person should read.
        progress: shows how far a download is.

    Raises:
        HostToolError: there is no such file, or it must not or cannot be downloaded.
    """
    source = board.micropython
    if given is not None:
        try:
            with given.open("rb") as file:
                data = file.read(MAX_IMAGE_BYTES + 1)
        except OSError as error:
            raise HostToolError(f"{given}: {error.strerror}", "check the image's path") from error
        if source.sha256 and _digest(data) != source.sha256:
            note(f"note: {given} is not the image that board.json pins")
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
    data = download(source.image, by_hand, progress)
    if _digest(data) != source.sha256:
        raise HostToolError(
            f"{source.image} is not the image that board.json pins", f"do not use it; {by_hand}"
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


def download(url: str, by_hand: str, progress: OpenProgress = no_progress) -> bytes:
    """Return at most MAX_IMAGE_BYTES + 1 bytes of the URL.

    Raises:
        HostToolError: it cannot be downloaded as a whole; the hint is `by_hand`.
    """
    data = bytearray()
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:
            with progress(answer.length or MAX_IMAGE_BYTES) as report:
                while piece := answer.read(min(PIECE_BYTES, MAX_IMAGE_BYTES + 1 - len(data))):
                    data += piece
                    report(url.rsplit("/", 1)[-1], len(piece))
            if answer.length and len(data) <= MAX_IMAGE_BYTES:
                raise OSError(f"it ended after {len(data)} bytes, {answer.length} before its end")
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise HostToolError(f"{url} cannot be downloaded: {reason}", by_hand) from error
    return bytes(data)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
