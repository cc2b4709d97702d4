"""What every device does now, as far as it told this receiver: an assistant that only listens.

The light is worked out from what the device said, as its firmware works it out
(firmware/satellite/light.py).  What a device did not say is shown as unknown, never guessed.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from host_tools.companion.checks import Checks
from host_tools.receiver.assistant import Assistant, Satellite, Status
from host_tools.receiver.devices import DeviceList
from host_tools.receiver.owner_withdrawals import OwnerWithdrawal, OwnerWithdrawals
from host_tools.receiver.recording import ANYBODY_ID
from host_tools.receiver.statuses import Statuses


@dataclass(frozen=True)
class Light:
    """`kind` names its colour for the style sheet; the words say it for everybody."""

    kind: str
    shows: str
    means: str


MUTED = Light("red", "red, steady", "Muted. The microphone is off.")
LISTENING = Light(
    "green", "green, breathing", "Listening for its wake word, on the device. Nothing is sent."
)
STREAMING = Light("blue", "blue, fast pulses", "Sending what is said to this receiver.")
OFF = Light(
    "yellow",
    "yellow, blinking",
    "The microphone is off: the device starts or has a fault.",
)
FAULT = Light(
    "yellow",
    "yellow, two flashes a second",
    "The microphone is off: the device has a fault. Press its button to try again.",
)
SPEAKING = Light(
    "white",
    "white, slow pulses, while it sounds",
    "Speaking, or about to: the microphone is off while it sounds.",
)
#: What each of protocol.OFF_REASONS means.
OFF_BY = {
    "fault": "a fault of the device",
    "switch": "its switch",
    "button": "its button",
    "network": "a request over the network",
    "stored": "the state that it kept: it was muted when it last lost its power",
    "setting": "its configuration: it starts muted",
    "unknown": "doubt: what it had stored is missing or damaged",
}
UNTOLD = Light("unknown", "not known", "The device has not said it yet.")
AWAY = Light("unknown", "not known", "The device is not connected: only its own light can tell.")


@dataclass(frozen=True)
class DeviceNow:
    """One device as the page shows it; `status` is what it told last, maybe long ago."""

    id: str
    name: str
    is_connected: bool
    is_streaming: bool
    status: Status | None
    #: When it told that, in Unix time.
    told_s: float | None
    #: Whether it has accepted a sound that is not over.
    is_speaking: bool = False
    #: Whether this page asked it to mute, and it has not confirmed that yet.
    is_mute_asked: bool = False
    #: What is wrong with its log, in one sentence.
    alarm: str | None = None
    #: What its owner took back here, if anything; whether that is on this computer's disk.
    withdrawal: OwnerWithdrawal | None = None
    is_withdrawal_stored: bool = True

    @property
    def light(self) -> Light:
        """Return the light as the device shows it, if it is there to tell."""
        if not self.is_connected:
            return AWAY
        if self.status is None:
            return STREAMING if self.is_streaming else UNTOLD
        if self.status.off_by == "fault":
            return FAULT
        if self.status.muted:
            return MUTED
        if self.is_streaming:
            return STREAMING
        if not self.status.listening:
            return OFF
        return SPEAKING if self.is_speaking else LISTENING

    @property
    def microphone(self) -> str:
        """Return "on", "off" or "not known"."""
        states = {"green": "on", "blue": "on", "white": "not known", "unknown": "not known"}
        return states.get(self.light.kind, "off")

    @property
    def muted_by(self) -> str | None:
        """Return what mutes it or keeps its microphone off, as far as its status tells."""
        status = self.status
        if status is None or not (status.muted or status.off_by):
            return None
        if status.switch and status.off_by != "fault":
            return OFF_BY["switch"]
        return OFF_BY.get(status.off_by or "", "its button, or a request over the network")

    @property
    def sensitivities(self) -> str:
        """Return the probability cutoff of each wake word, or "not known"."""
        status = self.status
        if status is None or status.cutoffs is None or len(status.cutoffs) != len(status.words):
            return "not known"
        pairs = zip(status.words, status.cutoffs, strict=True)
        return ", ".join(f"{word} {cutoff / 1000:.2f}" for word, cutoff in pairs)

    @property
    def may_withdraw(self) -> bool:
        """Return whether there may be consent to take back: not if the device said that there is
        none, nor if it cannot be told from others."""
        if self.id == ANYBODY_ID or (self.withdrawal is not None and self.withdrawal.is_pending):
            return False
        status = self.status
        return status is None or status.keep_recordings or status.share_for_training

    @property
    def is_withdrawn(self) -> bool:
        """Return whether the device confirmed a withdrawal, and has no new consent since."""
        if self.withdrawal is None or self.withdrawal.is_pending:
            return False
        return self.status is None or not self.status.keep_recordings

    @property
    def summary(self) -> str:
        """Return one sentence for those who hear the page."""
        return f"{self.name}: light {self.light.shows}."


class DevicesNow(Assistant):
    """Remembers who is connected; `all` adds the list and what was told earlier."""

    def __init__(
        self,
        devices: DeviceList,
        statuses: Statuses,
        checks: Checks | None = None,
        withdrawals: OwnerWithdrawals | None = None,
    ) -> None:
        self._devices = devices
        self.withdrawals = withdrawals
        if withdrawals is not None:
            withdrawals.watch(self._changed)
        self._checks = checks
        self._statuses = statuses
        self._there: list[Satellite] = []
        self._streaming: dict[Satellite, str] = {}
        self._told_s: dict[Satellite, float] = {}
        self._mute_asked: set[Satellite] = set()
        self._watchers: set[asyncio.Event] = set()

    def all(self) -> list[DeviceNow]:
        """Return every device of the list, and whoever else is connected, by name; raises
        HostToolError when the list cannot be read."""
        there = {satellite.id: satellite for satellite in self._there}
        found = {}
        for device in self._devices.all():
            if device.id not in found:
                found[device.id] = self._now(device.id, device.name, there.get(device.id))
        for id, satellite in there.items():
            found.setdefault(id, self._now(id, satellite.name, satellite))
        return sorted(found.values(), key=lambda now: (now.name, now.id))

    def strays(self) -> list[OwnerWithdrawal]:
        """Return what was taken back of devices that are not in the list any more, and that
        cannot confirm it."""
        if self.withdrawals is None:
            return []
        there = {device.id for device in self._devices.all()} | {s.id for s in self._there}
        pending = [each for each in self.withdrawals.all() if each.is_pending]
        return [each for each in pending if each.device not in there]

    def satellite(self, id: str) -> Satellite | None:
        """Return the connected device of this id, if there is one."""
        return next((s for s in reversed(self._there) if s.id == id), None)

    async def mute(self, satellite: Satellite) -> None:
        """Ask a device to mute; raises what Satellite.mute does."""
        await satellite.mute()
        if satellite in self._there and not (satellite.status and satellite.status.muted):
            self._mute_asked.add(satellite)
            self._changed()

    def watch(self) -> asyncio.Event:
        """Return an event that is set whenever something changes; give it back to `forget`."""
        self._watchers.add(event := asyncio.Event())
        return event

    def forget(self, event: asyncio.Event) -> None:
        self._watchers.discard(event)

    def wake_watchers(self) -> None:
        """Let every watcher look again: a session may have ended."""
        self._changed()

    def connected(self, satellite: Satellite) -> None:
        self._there.append(satellite)
        self._changed()

    def disconnected(self, satellite: Satellite) -> None:
        if satellite in self._there:
            self._there.remove(satellite)
        self._streaming.pop(satellite, None)
        self._told_s.pop(satellite, None)
        self._mute_asked.discard(satellite)
        self._changed()

    def status_changed(self, satellite: Satellite) -> None:
        self._told_s[satellite] = time.time()
        if satellite.status is not None and satellite.status.muted:
            self._mute_asked.discard(satellite)
        self._changed()

    def sound_changed(self, satellite: Satellite) -> None:
        self._changed()

    def stream_started(self, satellite: Satellite, stream: str, wake_word: str | None) -> None:
        self._streaming[satellite] = stream
        self._changed()

    def stream_ended(self, satellite: Satellite, stream: str, is_complete: bool) -> None:
        self._streaming.pop(satellite, None)
        self._changed()

    def _now(self, id: str, name: str, satellite: Satellite | None) -> DeviceNow:
        status: Status | None = None
        told_s: float | None = None
        if satellite is not None:
            # Not what it told earlier: too little to show a light.
            status, told_s = satellite.status, self._told_s.get(satellite)
        elif told := self._statuses.of(id):
            status, told_s = told.status, told.told_s
        return DeviceNow(
            id,
            name,
            satellite is not None,
            satellite in self._streaming,
            status,
            told_s,
            satellite is not None and satellite.is_speaking,
            satellite in self._mute_asked,
            None if self._checks is None else self._checks.alarm(id),
            None if self.withdrawals is None else self.withdrawals.of(id),
            self.withdrawals is None or self.withdrawals.is_stored(id),
        )

    def _changed(self) -> None:
        for event in self._watchers:
            event.set()
