"""Ctrl-C where asyncio has no signal handlers, as on Windows."""

import asyncio
import signal

import pytest

from host_tools.receiver.console import stop_on_signals


@pytest.fixture
def signals_as_before():
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_receiver_without_asyncios_handlers(
    signals_as_before, monkeypatch, number
):
    def not_on_windows(*_):
        raise NotImplementedError

    async def serve():
        monkeypatch.setattr(asyncio.get_running_loop(), "add_signal_handler", not_on_windows)
        stopped = asyncio.Event()
        stop_on_signals(stopped.set)
        signal.raise_signal(number)
        await asyncio.wait_for(stopped.wait(), 5)

    asyncio.run(serve())
