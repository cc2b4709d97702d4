"""A folder of a receiver whose page is looked at."""

import pytest


@pytest.fixture
def data(tmp_path):
    return tmp_path / "data"
