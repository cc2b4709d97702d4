"""Fixtures of the Xtensa tests: a machine, and the firmware's kernels on it."""

import pytest

from host_tools.xtensa.kernels import VARIANTS, kernel_names, load_kernels
from host_tools.xtensa.machine import XtensaMachine


def pytest_generate_tests(metafunc):
    """Run what uses `chip` on the viper kernels and, where there are some, the assembler ones."""
    if "chip" in metafunc.fixturenames:
        variants = [variant for variant in VARIANTS if kernel_names(variant)]
        metafunc.parametrize("chip", variants, indirect=True)


@pytest.fixture
def machine(qemu):
    """An empty XtensaMachine."""
    with XtensaMachine() as xtensa:
        yield xtensa


@pytest.fixture
def chip(qemu, request):
    """`chip(name, *arguments)` calls a kernel by its full name; `chip.machine` has the memory."""
    with XtensaMachine() as xtensa:
        kernels = load_kernels(xtensa, request.param)

        def call(name, *arguments):
            return xtensa.call(kernels[name], *arguments)

        call.machine, call.kernels, call.variant = xtensa, kernels, request.param
        yield call
