"""One call for many kernels on the chip: the same values as one by one, and what it costs."""

import pytest

from host_tools.models.catalog import DEFAULT_MODEL, find_model, known_models
from host_tools.xtensa.kernels import ASSEMBLER, load_kernels, walkers
from host_tools.xtensa.machine import XtensaMachine
from host_tools.xtensa.record import record_engine
from host_tools.xtensa.replay import Replay
from host_tools.xtensa.walks import SLICE, Walks, groups
from host_tools.xtensa.workspaces import WORKSPACES
from tests.xtensa.test_engine_on_xtensa import extremes, spoken


@pytest.fixture(scope="module")
def trace(native_emitter):
    return record_engine(spoken(0.6), [find_model(DEFAULT_MODEL).path.read_bytes()])


def test_every_walker_has_a_test_here(machine):
    assert set(walkers(machine)) == {"walk", "make_slice", "address"}


def test_speech_is_the_same_in_every_value(machine, trace):
    walks = Walks(machine, trace)
    report = walks.run()
    assert (report.different, report.first) == (0, None)
    assert walks.called[:2] == ["window", "window"]
    assert walks.called[2:] == ["make_slice", "walk"] * 58


def test_extremes_and_all_known_models_are_the_same_in_every_value(native_emitter, machine):
    models = [find_model(name).path.read_bytes() for name in known_models()]
    report = Walks(machine, record_engine(extremes()[:8000], models)).run()
    assert (report.different, report.first) == (0, None) and report.values > 1e6


def test_an_op_that_is_left_out_is_found(machine, trace, monkeypatch):
    def without_the_second(*items):
        return place(*((items[0], *items[2:]) if len(items) > len(SLICE) else items))

    place = machine.place_tuple
    monkeypatch.setattr(machine, "place_tuple", without_the_second)
    report = Walks(machine, trace).run(limit=30)
    assert report.different and "argument 0" in report.first


def test_address(machine):
    at = machine.alloc(8)
    assert machine.call(walkers(machine)["address"], at) == at


def test_walking_costs_no_more_instructions_than_the_calls_it_replaces(qemu, trace):
    """Python's share of a call, and the runtime's conversion of its arguments, come off on top."""
    with XtensaMachine(count=True) as machine:
        Replay(machine, load_kernels(machine, ASSEMBLER), trace, WORKSPACES).run(limit=400)
    alone = [count for _, count in machine.counts()]
    with XtensaMachine(count=True) as machine:
        walks = Walks(machine, trace)
        walks.run(limit=30)
    walked = [count for _, count in machine.counts()]
    at = 0
    for calls, name, count in zip(groups(trace), walks.called, walked, strict=False):
        separate = sum(alone[at : at + len(calls)])
        at += len(calls)
        if name != "window":
            assert separate - 20 * len(calls) < count < separate + 30, (name, count, separate)
    assert 250 < at < 400
