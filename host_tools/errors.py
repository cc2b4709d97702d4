"""The one error that host tools raise for bad input, and the exit statuses of `earnest`."""

from __future__ import annotations

import click

#: Exit statuses beside 0 (success) and 1 (the answer is no, as `selftest` or `audit` may say).
FAILED = 2
INTERRUPTED = 130


class HostToolError(click.ClickException):
    """A problem the user can act on; printed as two lines, exit status 2, no traceback."""

    exit_code = FAILED

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    def show(self, file=None) -> None:
        """Print `error: message` and, when there is one, `hint: what to do` on standard error."""
        click.echo(f"error: {self.message}", err=True, file=file)
        if self.hint:
            click.echo(f"hint: {self.hint}", err=True, file=file)
