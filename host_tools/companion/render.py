"""Templates to HTML: whatever a device or a person named is text there, never markup."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import jinja2

from host_tools.receiver.printable import one_line

_HERE = Path(__file__).parent
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


class Renderer:
    """The templates, read when they are first used; everything in them is escaped."""

    def __init__(self) -> None:
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(_HERE / "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters["when"] = when
        self._templates.filters["plain"] = lambda value: one_line(str(value))

    def page(self, template: str, **values: object) -> str:
        """Return the HTML of a template with these values."""
        return self._templates.get_template(template).render(values)


def static_files() -> Mapping[str, tuple[bytes, str]]:
    """Return (content, type) of each file that the page needs, by name: none other is served."""
    return {
        path.name: (path.read_bytes(), _TYPES[path.suffix])
        for path in sorted((_HERE / "static").iterdir())
        if path.suffix in _TYPES
    }


def when(unix_s: float) -> str:
    """Return a time for people, in this computer's time zone."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(unix_s))
