"""One byte of a whole `earnest install` arrives as another, in either direction."""

import random
import time

import pytest

from host_tools.board import raw_repl
from host_tools.errors import HostToolError
from tests.fakes.board.pty_board import PtyBoard
from tests.fakes.board.small_firmware import (
    NEW,
    OLD,
    at_operation,
    put,
    ran,
    started,
    use_tiny_models,
    write_tree,
)

SEEDS = 20
GROUPS = 4
MAX_S = 20


@pytest.mark.parametrize("group", range(GROUPS))
def test_install(tmp_path, monkeypatch, group):
    """The new version and success, or either version and an error with a hint; and soon."""
    use_tiny_models(monkeypatch)
    monkeypatch.setattr(raw_repl, "ANSWER_S", 1.0)
    monkeypatch.setattr(raw_repl, "DEFAULT_TIMEOUT_S", 2.0)
    trees = [write_tree(tmp_path / str(n), n) for n in (1, 2)]
    succeeded = 0
    with PtyBoard(tmp_path) as plugged:
        put(plugged, trees[0])
        plugged.unplug()
        restore = plugged.snapshot()
        plugged.plug_in()
        with at_operation(None) as pieces:
            put(plugged, trees[1])
        for seed in range(group, SEEDS, GROUPS):
            chance = random.Random(seed)
            number = chance.randrange(len(pieces) - 1)
            is_sent = chance.random() < 0.5
            after = chance.randrange(12 if is_sent else len(pieces[number]))
            mask = 1 << chance.randrange(8)
            plugged.unplug()
            restore()
            plugged.plug_in()
            started(plugged)
            began = time.monotonic()
            try:
                with at_operation(number, lambda _: plugged.flip(mask, after, is_sent)):  # noqa: B023
                    put(plugged, trees[1])
                assert started(plugged) == NEW, seed
                succeeded += 1
            except HostToolError as error:
                assert error.hint and started(plugged) in (OLD, NEW), seed
            assert time.monotonic() - began < MAX_S, seed
            assert set(ran(plugged)) <= {OLD, NEW}
    assert succeeded >= 4, "most of them are made good"
