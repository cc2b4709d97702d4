"""Waits and endings that lose no cancellation.

`asyncio.wait_for` of Python 3.11 and older does: a task that is cancelled in the very step in
which the awaited result comes gets the result, and goes on.  Whoever then waits for the task's end
waits for ever.  `within` is used in its place everywhere.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection
from typing import Any, TypeVar

#: A task that is still there is cancelled again after this time: longer than what a task that
#: obeys does at its end, such as the page, which waits companion.page.END_S for its browsers.
AGAIN_S = 1.0
_Result = TypeVar("_Result")


async def within(
    seconds: float | None,
    awaitable: Awaitable[_Result],
    drop: Callable[[_Result], object] | None = None,
) -> _Result:
    """Return the result of an awaitable.

    Args:
        seconds: How long it may take; None: as long as it takes.  At 0 or less it is not begun.
        awaitable: It has ended when this returns or raises.
        drop: Gets a result that came in the moment in which the caller was cancelled, such as a
            connection, which has to be closed then.

    Raises:
        asyncio.TimeoutError: it was cancelled, since it took longer.
        asyncio.CancelledError: the caller was cancelled, whatever came at the same moment.
    """
    if seconds is None:
        return await awaitable
    task = asyncio.ensure_future(awaitable)
    is_late = False
    try:
        if seconds > 0:
            await asyncio.wait([task], timeout=seconds)
        if not task.done():
            is_late = True
            task.cancel()
            await asyncio.wait([task])
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled() and task.exception() is None and drop is not None:
            drop(task.result())
        raise
    if is_late and task.cancelled():
        raise asyncio.TimeoutError
    return task.result()


async def until_done(future: asyncio.Future[Any]) -> None:
    """Wait for a future that nothing may cut short, however often the caller is cancelled."""
    while not future.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([future])


async def cancel_all(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Cancel tasks, and those that come to `tasks` meanwhile, until all have ended.

    One that does not obey is cancelled again after AGAIN_S, or as soon as the caller is cancelled.
    That is raised at the end.
    """
    is_cancelled = False
    while running := [task for task in tasks if not task.done()]:
        try:
            await asyncio.sleep(0)  # a task that is cancelled before it begins does nothing at all
            for task in running:
                task.cancel()
            await asyncio.wait(running, timeout=AGAIN_S)
        except asyncio.CancelledError:
            is_cancelled = True
    if is_cancelled:
        raise asyncio.CancelledError
