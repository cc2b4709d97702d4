"""The owner's commands; Ctrl-C where asyncio has no signal handlers, as on Windows."""

import asyncio
import signal

import pytest

from host_tools.errors import HostToolError
from host_tools.receiver.console import message_of, stop_on_signals


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


def test_a_cutoff_at_and_past_its_limits():
    for cutoff, thousandths in (("0.1", 100), ("0.99", 990), ("0.951", 951), (".5", 500)):
        want = {"model": "okay_nabu", "cutoff_thousandths": thousandths}
        assert message_of(f"less-sensitive okay_nabu {cutoff}") == ("sensitivity", want)
    for cutoff in ("0.099", "0.991", "0.9505", "-0.5", "nan", "inf", "1e999", "high", "0,9"):
        with pytest.raises(HostToolError, match="is not a cutoff"):
            message_of(f"less-sensitive okay_nabu {cutoff}")
    with pytest.raises(HostToolError, match="is not a wake word"):
        message_of("less-sensitive okay.nabu 0.9")
    for line in ("less-sensitive", "less-sensitive okay_nabu", "less-sensitive a 0.9 0.9"):
        with pytest.raises(HostToolError, match="unknown command"):
            message_of(line)
