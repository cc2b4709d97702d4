"""What Home Assistant shows of a device: its sensors, a button that mutes, its volume.

Mute is a sensor and a button, never a switch: a switch would offer to unmute, which only a person
at the device can.  A device that is not connected has no states: nobody knows them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from host_tools.home.messages import make
from host_tools.receiver.assistant import Status

MUTED, MUTE, LIGHT, CONSENT, VOLUME, WAKE_WORDS, CONNECTION, FIRMWARE, WAKES, STREAMS = range(
    1, 11
)
_DIAGNOSTIC = 2  # ESPHome's EntityCategory
_TOTAL_INCREASING = 2  # ESPHome's SensorStateClass
_SLIDER = 2  # ESPHome's NumberMode


@dataclass(frozen=True)
class Shown:
    """All that there is to show."""

    is_connected: bool = False
    status: Status | None = None
    #: The last status that the device told, also while it is gone: what it offers.
    known: Status | None = None
    is_streaming: bool = False
    is_speaking: bool = False
    #: Since the receiver started.
    wakes: int = 0
    streams: int = 0


def listed() -> list[Any]:
    """Return the messages that describe the entities."""
    return [
        make(
            "ListEntitiesBinarySensorResponse",
            **_named(MUTED, "Muted"),
            icon="mdi:microphone-off",
        ),
        make("ListEntitiesButtonResponse", **_named(MUTE, "Mute"), icon="mdi:microphone-off"),
        make("ListEntitiesTextSensorResponse", **_named(LIGHT, "Light"), icon="mdi:led-on"),
        make("ListEntitiesTextSensorResponse", **_named(CONSENT, "Consent"), icon="mdi:file-sign"),
        make(
            "ListEntitiesNumberResponse",
            **_named(VOLUME, "Volume"),
            icon="mdi:volume-high",
            min_value=0,
            max_value=100,
            step=5,
            unit_of_measurement="%",
            mode=_SLIDER,
        ),
        make(
            "ListEntitiesTextSensorResponse",
            **_named(WAKE_WORDS, "Wake word"),
            icon="mdi:account-voice",
        ),
        make(
            "ListEntitiesBinarySensorResponse",
            **_named(CONNECTION, "Connection"),
            device_class="connectivity",
            entity_category=_DIAGNOSTIC,
        ),
        make(
            "ListEntitiesTextSensorResponse",
            **_named(FIRMWARE, "Firmware"),
            icon="mdi:chip",
            entity_category=_DIAGNOSTIC,
        ),
        _count(WAKES, "Wakes"),
        _count(STREAMS, "Streams"),
    ]


def states(shown: Shown) -> dict[int, Any]:
    """Return {entity: message of its state}; the button has none."""
    status = shown.status if shown.is_connected else None
    words = ", ".join(phrase(word) for word in status.words) if status else None
    return {
        MUTED: make(
            "BinarySensorStateResponse",
            key=MUTED,
            state=bool(status and status.muted),
            missing_state=status is None,
        ),
        LIGHT: _text(LIGHT, light(shown)),
        CONSENT: _text(CONSENT, _consent(status) if status else None),
        VOLUME: make(
            "NumberStateResponse",
            key=VOLUME,
            state=status.volume if status else 0,
            missing_state=status is None or not status.speaker,
        ),
        WAKE_WORDS: _text(WAKE_WORDS, words),
        CONNECTION: make("BinarySensorStateResponse", key=CONNECTION, state=shown.is_connected),
        FIRMWARE: _text(FIRMWARE, status.firmware if status else None),
        WAKES: make("SensorStateResponse", key=WAKES, state=shown.wakes),
        STREAMS: make("SensorStateResponse", key=STREAMS, state=shown.streams),
    }


def changed(before: Shown, after: Shown) -> list[Any]:
    """Return the messages of the states that differ."""
    old = states(before)
    return [message for key, message in states(after).items() if message != old[key]]


def light(shown: Shown) -> str | None:
    """Return the colour that the device's light must have by what it told; the light itself is
    decided on the device, which also shows faults that it does not tell."""
    status = shown.status
    if not shown.is_connected or status is None:
        return None
    if status.muted:
        return "red, muted"
    if not status.listening:
        return "yellow, fault"
    if shown.is_streaming:
        return "blue, sending"
    return "white, speaking" if shown.is_speaking else "green, listening"


def phrase(word: str) -> str:
    """Return a wake word as people say it: okay_nabu as Okay Nabu."""
    return " ".join(part.capitalize() for part in word.replace("_", " ").split())


def lost(shown: Shown) -> Shown:
    """Return what there is to show of a device whose connection ended; the counts stay."""
    return replace(shown, is_connected=False, status=None, is_streaming=False, is_speaking=False)


def _consent(status: Status) -> str:
    if not status.keep_recordings:
        return "keep nothing"
    return "keep, and mark for training" if status.share_for_training else "keep recordings"


def _named(key: int, name: str) -> dict[str, Any]:
    return {"key": key, "name": name, "object_id": name.lower().replace(" ", "_")}


def _text(key: int, text: str | None) -> Any:
    return make("TextSensorStateResponse", key=key, state=text or "", missing_state=text is None)


def _count(key: int, name: str) -> Any:
    return make(
        "ListEntitiesSensorResponse",
        **_named(key, name),
        icon="mdi:counter",
        state_class=_TOTAL_INCREASING,
        entity_category=_DIAGNOSTIC,
    )
