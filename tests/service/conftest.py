"""A receiver that tells its health, for the tests that leave nothing behind."""

import pytest

from tests.fakes.receivers import new_device, receiving


@pytest.fixture(scope="module")
def healthy(tmp_path_factory):
    data = tmp_path_factory.mktemp("healthy") / "data"
    folder = new_device(data, "kitchen")
    with receiving(data, "--health-port", 0) as receiver:
        receiver.data, receiver.folder = data, folder
        receiver.health_port = next(
            told["port"] for told in receiver.events if told["event"] == "health"
        )
        yield receiver
