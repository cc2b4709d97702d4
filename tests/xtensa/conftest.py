"""Fixtures of the Xtensa tests: a machine, and the firmware's kernels on it."""

import pytest

from host_tools.xtensa.kernels import VARIANTS, load_kernels
from host_tools.xtensa.machine import XtensaMachine


def pytest_generate_tests(metafunc):
    """Run what uses `chip` on the viper and the assembler kernels, `each_chip` on those with the
    vector unit, too.
    """
    for fixture, variants in (("chip", VARIANTS[:2]), ("each_chip", VARIANTS)):
        if fixture in metafunc.fixturenames:
            metafunc.parametrize(fixture, variants, indirect=True)


@pytest.fixture
def machine(qemu):
    """An empty XtensaMachine."""
    with XtensaMachine() as xtensa:
        yield xtensa


@pytest.fixture
def chip(qemu, request):
    """`chip(name, *arguments)` calls a kernel by its full name; `chip.machine` has the memory."""
    yield from _chip(request.param)


@pytest.fixture
def each_chip(qemu, request):
    """As `chip`."""
    yield from _chip(request.param)


def _chip(variant):
    with XtensaMachine() as xtensa:
        kernels = load_kernels(xtensa, variant)

        def call(name, *arguments):
            return xtensa.call(kernels[name], *arguments)

        call.machine, call.kernels, call.variant = xtensa, kernels, variant
        yield call
