"""A receiver for the tests that leave nothing behind, and a folder for one of their own."""

import pytest

from tests.fakes.receivers import new_device, receiving


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One receiver and one device for the tests that leave nothing behind."""
    data = tmp_path_factory.mktemp("shared") / "data"
    folder = new_device(data, "kitchen")
    with receiving(data, "--max-stream-s", 2, "--commands") as receiver:
        receiver.data, receiver.folder = data, folder
        yield receiver


@pytest.fixture
def data(tmp_path):
    return tmp_path / "data"
