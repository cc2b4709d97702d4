"""Hands what happens on to every assistant, and contains what fails there."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Callable, Coroutine
from typing import Any

from host_tools.receiver.assistant import Assistant, Host, Satellite
from host_tools.receiver.view import View

#: How often the same failure is told: audio comes many times a second.
AGAIN_S = 60.0


class Assistants:
    """The assistants of a receiver, in the order in which they are told."""

    def __init__(
        self,
        assistants: tuple[Assistant, ...],
        view: View,
        start: Callable[[Coroutine[Any, Any, None]], None],
        heard: Callable[[str, str, str], None] = lambda device, stream, words: None,
    ) -> None:
        """Take the assistants.

        Args:
            assistants: In the order in which they are told.
            view: What tells the owner.
            start: Runs a coroutine until the receiver ends.
            heard: Gets the words of a stream: the device's name, the stream's number, the words.
        """
        self._heard = heard
        self._assistants = assistants
        self._view = view
        self._start = start
        self._told_s: dict[str, float] = {}

    def begin(self) -> None:
        """Tell each that the receiver serves now; one that fails already is told no more."""
        begun = []
        for assistant in self._assistants:
            host: Host = _Hosting(self, _name(assistant))
            if self._call(assistant, assistant.begin, host):
                begun.append(assistant)
        self._assistants = tuple(begun)

    def tell(self, method: Callable[..., None], *arguments: object) -> None:
        """Call this method of `Assistant` (as in `tell(Assistant.connected, satellite)`) of each;
        one that raises is told to the owner, and the next has its turn."""
        for assistant in self._assistants:
            self._call(assistant, getattr(assistant, method.__name__), *arguments)

    def destinations(self, satellite: Satellite) -> set[str]:
        """Return what they do with the audio of the device's running stream."""
        found: set[str] = set()
        for assistant in self._assistants:
            self._call(assistant, lambda of=assistant: found.update(of.destinations(satellite)))
        return found

    def _call(self, assistant: Assistant, method: Callable[..., None], *arguments: object) -> bool:
        """Return whether it did not fail."""
        try:
            method(*arguments)
        except Exception as error:  # not ours: whatever it is, it ends here
            self.failed(_name(assistant), error)
            return False
        return True

    def failed(self, name: str, error: BaseException) -> None:
        """Tell the owner where an assistant failed; the same again only after a while."""
        at = traceback.extract_tb(error.__traceback__)[-1:]
        where = "".join(f" ({frame.filename}:{frame.lineno})" for frame in at)
        said = f"{type(error).__name__}: {error}"
        now_s = time.monotonic()
        if now_s - self._told_s.get(name + where, -AGAIN_S) >= AGAIN_S:
            self._told_s[name + where] = now_s
            self._view.emit("assistant-failed", assistant=name, reason=said + where)

    def start(self, name: str, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine of the assistant `name`; its failure is told."""
        self._start(self._contain(name, coroutine))

    def emit(self, event: str, **fields: object) -> None:
        self._view.emit(event, **fields)
        if event == "transcript":
            self._heard(str(fields["device"]), str(fields["stream"]), str(fields["text"]))

    async def _contain(self, name: str, coroutine: Coroutine[Any, Any, None]) -> None:
        try:
            await coroutine
        except asyncio.CancelledError:
            raise
        except Exception as error:  # as above
            self.failed(name, error)


class _Hosting:
    """The receiver for one assistant."""

    def __init__(self, assistants: Assistants, name: str) -> None:
        self._assistants = assistants
        self._name = name

    def start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self._assistants.start(self._name, coroutine)

    def emit(self, event: str, **fields: object) -> None:
        self._assistants.emit(event, **fields)


def _name(assistant: Assistant) -> str:
    return type(assistant).__name__
