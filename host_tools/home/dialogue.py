"""What one Home Assistant and we say to each other about one device, outside a command.

Pure: messages in, actions out.  Home Assistant is the client: it asks who this is, what there is
to show, and subscribes.  What it may do to a device: mute it, change its volume (which the device
clips to its owner's limit), announce, and answer a command.  The rest is refused and told.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from host_tools.home import entities
from host_tools.home.entities import Shown, phrase
from host_tools.home.messages import (
    ANNOUNCE,
    API_AUDIO,
    API_VERSION,
    SPEAKER,
    TIMERS,
    VOICE,
    data_of,
    event_of,
    make,
    name_of,
    timer_event_of,
)
from host_tools.home.voice import Refused, Send
from host_tools.home.wishes import (
    Announce,
    Answered,
    HangUp,
    Mute,
    ReplyAudio,
    SetVolume,
    Subscribed,
    TimerEvent,
    Told,
    Wish,
)
from host_tools.receiver.assistant import Status

#: The ESPHome version that we say to be like; Home Assistant warns of old ones.
_ESPHOME = "2026.10.0"


@dataclass(frozen=True)
class Facts:
    """Who a device is to Home Assistant."""

    name: str
    friendly_name: str
    mac: str
    version: str


def features(status: Status | None) -> int:
    """Return what the device offers: 31 where its owner allows timers and announcements.

    A timer that Home Assistant accepts and the device may not ring would be a lie, so what the
    owner does not allow is not offered.
    """
    if status is None or not status.speaker:
        return VOICE | API_AUDIO
    may = (TIMERS if status.timers else 0) | (ANNOUNCE if status.announcements else 0)
    return VOICE | SPEAKER | API_AUDIO | may


def _words(shown: Shown) -> tuple[str, ...]:
    return shown.known.words if shown.known else ()


def _offered(shown: Shown) -> tuple[int, tuple[str, ...]]:
    """Return what Home Assistant asks for only when it connects."""
    return features(shown.known), _words(shown)


class Dialogue:
    """One connection of a Home Assistant."""

    def __init__(self, facts: Facts, shown: Shown) -> None:
        self._facts = facts
        self._shown = shown
        self._is_greeted = False
        self._is_watching = False
        self.client = "Home Assistant"

    def handle(self, message: Any) -> list[Wish]:
        """Return what follows from a message."""
        handler = self._HANDLERS.get(name_of(message))
        if handler is None:
            return []  # of entities that we do not have, for instance
        if not self._is_greeted and handler is not Dialogue._hello:
            return [HangUp()]
        return handler(self, message)

    def show(self, shown: Shown) -> list[Wish]:
        """Tell what changed.  When the device offers something else than before, hang up: Home
        Assistant comes back at once and asks again."""
        before, self._shown = self._shown, shown
        if self._is_greeted and _offered(before) != _offered(shown):
            return [HangUp()]
        if not self._is_watching:
            return []
        return [Send(message) for message in entities.changed(before, shown)]

    def _hello(self, message: Any) -> list[Wish]:
        self._is_greeted = True
        self.client = message.client_info or self.client
        major, minor = API_VERSION
        hello = make(
            "HelloResponse",
            api_version_major=major,
            api_version_minor=minor,
            name=self._facts.name,
            server_info=f"Earnest {self._facts.version}",
        )
        return [Send(hello)]

    def _authenticate(self, message: Any) -> list[Wish]:
        return [Send(make("AuthenticationResponse"))]  # the key was checked before

    def _ping(self, message: Any) -> list[Wish]:
        return [Send(make("PingResponse"))]

    def _pong(self, message: Any) -> list[Wish]:
        return []

    def _disconnect(self, message: Any) -> list[Wish]:
        return [Send(make("DisconnectResponse")), HangUp()]

    def _device_info(self, message: Any) -> list[Wish]:
        info = make(
            "DeviceInfoResponse",
            name=self._facts.name,
            friendly_name=self._facts.friendly_name,
            mac_address=self._facts.mac,
            manufacturer="Earnest",
            model="Satellite",
            project_name="Earnest.Satellite",
            project_version=self._facts.version,
            esphome_version=_ESPHOME,
            api_encryption_supported=True,
            voice_assistant_feature_flags=features(self._shown.known),
        )
        return [Send(info)]

    def _list(self, message: Any) -> list[Wish]:
        listed = [*entities.listed(), make("ListEntitiesDoneResponse")]
        return [Send(each) for each in listed]

    def _watch(self, message: Any) -> list[Wish]:
        self._is_watching = True
        return [Send(state) for state in entities.states(self._shown).values()]

    def _press(self, message: Any) -> list[Wish]:
        return [Mute()] if message.key == entities.MUTE else []

    def _set_number(self, message: Any) -> list[Wish]:
        if message.key != entities.VOLUME or not 0 <= message.state <= 100:
            return []
        return [SetVolume(round(message.state))]

    def _subscribe(self, message: Any) -> list[Wish]:
        return [Subscribed(message.subscribe)]

    def _configuration(self, message: Any) -> list[Wish]:
        """Name the device's own words and no others: each may lead to a pipeline of its own, and
        none can be chosen from here."""
        words = _words(self._shown)
        known = [
            make("VoiceAssistantWakeWord", id=word, wake_word=phrase(word), trained_languages=[])
            for word in words
        ]
        configuration = make(
            "VoiceAssistantConfigurationResponse",
            available_wake_words=known,
            active_wake_words=words,
            max_active_wake_words=len(words),
        )
        return [Send(configuration)]

    def _configure(self, message: Any) -> list[Wish]:
        if set(message.active_wake_words) == set(_words(self._shown)):
            return []
        return [Refused("to choose the wake words")]

    def _answered(self, message: Any) -> list[Wish]:
        return [Answered(message.error)]

    def _tell(self, message: Any) -> list[Wish]:
        return [Told(event_of(message), data_of(message))]

    def _reply(self, message: Any) -> list[Wish]:
        return [ReplyAudio(message.data)]

    def _announce(self, message: Any) -> list[Wish]:
        if message.start_conversation:
            done = make("VoiceAssistantAnnounceFinished", success=False)
            return [Refused("to listen without a wake word (start_conversation)"), Send(done)]
        urls = (message.preannounce_media_id, message.media_id)
        return [Announce(tuple(url for url in urls if url))]

    def _timer(self, message: Any) -> list[Wish]:
        return [TimerEvent(timer_event_of(message), message.timer_id)]

    #: What Home Assistant may send, and what handles it.
    _HANDLERS: ClassVar[dict[str, Callable[[Dialogue, Any], list[Wish]]]] = {
        "HelloRequest": _hello,
        "AuthenticationRequest": _authenticate,
        "PingRequest": _ping,
        "PingResponse": _pong,
        "DisconnectRequest": _disconnect,
        "DeviceInfoRequest": _device_info,
        "ListEntitiesRequest": _list,
        "SubscribeStatesRequest": _watch,
        "ButtonCommandRequest": _press,
        "NumberCommandRequest": _set_number,
        "SubscribeVoiceAssistantRequest": _subscribe,
        "VoiceAssistantConfigurationRequest": _configuration,
        "VoiceAssistantSetConfiguration": _configure,
        "VoiceAssistantResponse": _answered,
        "VoiceAssistantEventResponse": _tell,
        "VoiceAssistantAudio": _reply,
        "VoiceAssistantAnnounceRequest": _announce,
        "VoiceAssistantTimerEventResponse": _timer,
    }
