"""The front end's buffers have the sizes that its kernels' docstrings ask for, to the byte."""

from wakeword.engine import Engine
from wakeword.frontend import Frontend, tables


def test_sizes_of_buffers():
    frontend = Frontend()
    for name, size in (
        ("_history", 2 * 320),
        ("_windowed", 2 * 512),
        ("_spectrum", 2 * 512),
        ("_energies", 4 * 247),
        ("_channels", 4 * 80),
    ):
        assert len(getattr(frontend, name)) == size, name
    assert len(frontend.features) == 40
    assert len(Engine([]).slice) == 40


def test_sizes_of_tables():
    assert len(tables.WINDOW) == 2 * 480
    assert len(tables.TWIDDLES) == 2 * 506
    assert len(tables.SUPER_TWIDDLES) == 2 * 250
    assert len(tables.FILTER_BANK) == 2 * 661
    assert len(tables.GAINS) == 2 * 228
