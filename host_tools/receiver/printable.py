"""Makes what others said safe to print: no escape sequence reaches a terminal or a log."""

from __future__ import annotations


def one_line(text: str) -> str:
    """Return `text` with a space for each character that is not printable."""
    return "".join(c if c.isprintable() else " " for c in text)


def plain(value: object) -> str:
    """Return a value as text for people."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None else str(value)
