"""What Home Assistant shows of a device: never what the light does not show."""

import pytest

from host_tools.home.entities import Shown, light
from tests.fakes.satellites import status


@pytest.mark.parametrize(
    "changes, fields, colour",
    [
        ({}, {}, "green, listening"),
        ({}, {"is_streaming": True}, "blue, sending"),
        ({}, {"is_speaking": True}, "white, speaking"),
        # A sound is over with a mute or a fault, and when somebody speaks to the device.
        ({}, {"is_streaming": True, "is_speaking": True}, "blue, sending"),
        ({"muted": True, "listening": False}, {"is_speaking": True}, "red, muted"),
        ({"listening": False}, {"is_speaking": True}, "yellow, fault"),
        ({"listening": False}, {}, "yellow, fault"),
        ({}, {"is_connected": False}, None),
    ],
)
def test_the_light(changes, fields, colour):
    told = status(**changes)
    shown = Shown(**{"is_connected": True, "status": told, "known": told, **fields})
    assert light(shown) == colour
