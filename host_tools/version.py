"""The version of this installation."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def installed_version() -> str:
    """The version of the installed package, or a note that there is none."""
    try:
        return version("earnest")
    except PackageNotFoundError:
        return "unknown (not installed)"
