"""Make the shards of a stage in several processes; the result does not depend on their number.

Each process is given its material once, then makes one shard after another.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

_Shard = TypeVar("_Shard")
_Given = TypeVar("_Given")


def make(
    shards: list[_Shard],
    make_one: Callable[[_Shard], bytes],
    begin: Callable[[_Given], None],
    given: _Given,
    workers: int,
) -> Iterator[tuple[_Shard, bytes]]:
    """Yield each shard with what `make_one` makes of it, in their order.

    `begin` takes what is `given` and keeps it, once in each process; with one worker that is this
    process.  Both are functions of a module, since other processes import them.
    """
    if not shards:
        return
    if workers == 1:
        begin(given)
        for shard in shards:
            yield shard, make_one(shard)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, begin, (given,)) as pool:
        yield from zip(shards, pool.map(make_one, shards), strict=True)
