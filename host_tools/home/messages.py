"""ESPHome's messages: made and read with aioesphomeapi's definitions, its only use here.

Messages are generated classes without types; they are made by name and read by their fields.
docs/home-assistant.md says which of them are used.
"""

from __future__ import annotations

from typing import Any

from aioesphomeapi import api_pb2
from aioesphomeapi.core import MESSAGE_TYPE_TO_PROTO
from google.protobuf.message import DecodeError

#: The version of ESPHome's API that these messages are of.
API_VERSION = (1, 12)
#: What a satellite can do, as Home Assistant counts it.  Not offered: 32, to start a conversation.
VOICE, SPEAKER, API_AUDIO, TIMERS, ANNOUNCE = 1, 2, 4, 8, 16

_NUMBERS: dict[str, int] = {
    cls.DESCRIPTOR.name: number for number, cls in MESSAGE_TYPE_TO_PROTO.items()
}


class MessageError(Exception):
    """What came is not the message that its type says."""


def make(name: str, /, **fields: Any) -> Any:
    """Return a message of this type; strings, numbers, bytes or messages as fields."""
    return getattr(api_pb2, name)(**fields)


def encode(message: Any) -> tuple[int, bytes]:
    """Return (type, body)."""
    return _NUMBERS[message.DESCRIPTOR.name], message.SerializeToString()


def decode(number: int, body: bytes) -> Any | None:
    """Return the message, or None for a type that is unknown; raises MessageError."""
    cls = MESSAGE_TYPE_TO_PROTO.get(number)
    if cls is None:
        return None
    try:
        return cls.FromString(body)
    except DecodeError as error:
        raise MessageError(f"a malformed {cls.DESCRIPTOR.name}") from error


def name_of(message: Any) -> str:
    name: str = message.DESCRIPTOR.name
    return name


def event_of(message: Any) -> str:
    """Return what a VoiceAssistantEventResponse tells, as TTS_STREAM_END; "" if unknown."""
    return _constant(api_pb2.VoiceAssistantEvent, message.event_type)


def timer_event_of(message: Any) -> str:
    """Return what a VoiceAssistantTimerEventResponse tells: STARTED, UPDATED, CANCELLED, FINISHED;
    "" if unknown."""
    return _constant(api_pb2.VoiceAssistantTimerEvent, message.event_type).removeprefix("TIMER_")


def data_of(message: Any) -> dict[str, str]:
    """Return the named values of a VoiceAssistantEventResponse."""
    return {pair.name: pair.value for pair in message.data}


def _constant(enum: Any, value: int) -> str:
    try:
        name: str = enum.Name(value)
    except ValueError:
        return ""
    return name.removeprefix("VOICE_ASSISTANT_")
