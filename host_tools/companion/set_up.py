"""Sets up who may sign in from other computers: `earnest companion --setup` and `--reset`.

The secret of the codes is offered first (as a QR code in the terminal, and on the page of this
computer) and counts only once a code of it was given.  What was set up before counts until then.
"""

from __future__ import annotations

import contextlib
import io
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from host_tools.companion import factors, tickets
from host_tools.errors import HostToolError
from host_tools.receiver import owner_only_files
from host_tools.receiver.receiver_log import ReceiverLog

OFFER_FILE = "set-up.json"
#: How long the page shows an offer, in seconds: a set-up that was killed leaves one.
OFFER_S = 600.0


def offer_path(data: Path) -> Path:
    return data / tickets.FOLDER / OFFER_FILE


@contextlib.contextmanager
def offered(data: Path, uri: str) -> Iterator[None]:
    """Let the page of this computer show the QR code of `uri` while the block runs; raises
    HostToolError."""
    path = offer_path(data)
    owner_only_files.make_folder(path.parent)
    facts = {"uri": uri, "until_s": time.time() + OFFER_S}
    owner_only_files.write(path, json.dumps(facts).encode())
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink()


def offer(data: Path) -> str | None:
    """Return the address that the QR code is of, while one is offered."""
    try:
        facts = json.loads(offer_path(data).read_bytes())
        uri, left_s = facts["uri"], facts["until_s"] - time.time()
    except (OSError, ValueError, TypeError, KeyError):
        return None
    is_good = isinstance(uri, str) and uri.startswith("otpauth://") and 0 < left_s <= OFFER_S
    return uri if is_good else None


def qr_svg(uri: str) -> bytes:
    """Return the QR code as a picture, dark on white in every room."""
    import segno

    out = io.BytesIO()
    segno.make(uri, error="m").save(
        out, kind="svg", scale=6, border=4, dark="#000000", light="#ffffff", xmldecl=False
    )
    return out.getvalue()


def qr_text(uri: str) -> str:
    """Return the QR code for a terminal, in half blocks."""
    import segno

    out = io.StringIO()
    segno.make(uri, error="l").terminal(out=out, compact=True, border=2)
    return out.getvalue()


def keep(
    data: Path,
    passphrase: str,
    secret: str,
    step: int,
    now: Callable[[], float] = time.time,
    cost: factors.Cost = factors.COST,
) -> None:
    """Let these factors count from now on; every session ends.  Recorded first, since it opens.

    Raises HostToolError: nothing has changed.
    """
    made = factors.make(passphrase, secret, step, now(), cost)
    ReceiverLog(data).add("set-up", what="set")
    factors.save(data, made)


def reset(data: Path) -> bool:
    """Let nobody sign in any more, and end every session; returns whether somebody could before.
    It closes, so it is recorded last."""
    try:
        factors.path_in(data).unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise HostToolError(
            f"cannot remove {factors.path_in(data)}: {error.strerror}",
            "stop the receiver, or check its folder's permissions",
        ) from error
    ReceiverLog(data).add("set-up", what="reset")
    return True
