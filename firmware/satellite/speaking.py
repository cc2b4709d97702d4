"""Brings loudspeaker, microphone, light and log in line with `speech`, in one order.

Place in the pipeline: beside the app, which calls `turn` while speech is not SILENT and `silence`
when anything closes.

* what opens: the microphone goes off, read back; the audit log; the light; the amplifier last;
* what closes: the amplifier first, read back; what waits is zeroed; then the app's light and log;
  REST_MS later the microphone, with nothing of what was heard before.

Nothing is written to the flash while something sounds, but for what closes: a write stalls the
loop.  What the log cannot hold does not sound.
"""

from micropython import const

from .gate import ERROR, IDLE, STREAMING
from .light import SPEAKING as SPEAKING_LIGHT
from .speech import ASKED, CHUNK_BYTES, DRAINING, SILENT, SPEAKING

#: How much the driver may be given in one turn of the loop.
_CHUNKS_PER_TURN = const(32)
#: How long the light says that nobody answered, on a board without a loudspeaker.
_UNHEARD_MS = const(2000)
#: Requests refused while something sounds that are recorded afterwards; more are only counted.
_MAX_WAITING = const(8)


class Speaking:
    """`app` is an app.App, of which this uses the methods named for it; `parts` are its parts."""

    def __init__(self, app, parts):
        self._app = app
        self._parts = parts
        self._speech = parts.speech
        self._speaker = parts.speaker
        self._chunk = bytearray(CHUNK_BYTES)
        self._silence = bytes(CHUNK_BYTES)
        self._is_waiting = False  # the chunk, for room in the driver
        self._refused = []
        self._volume = None  # what the network asked for, not yet in the log
        #: Whether the microphone is off for a sound, and the log says that it is on.
        self.holds_microphone = False

    @property
    def is_sounding(self):
        """Whether something sounds, or did a moment ago: nothing is written to the flash."""
        return self._speech.state >= SPEAKING

    # --- the loop ---

    def turn(self, now_ms):
        """One turn of the loop, of some 10 ms, while speech is not SILENT or not recorded so."""
        speech = self._speech
        if speech.state == ASKED:
            self._await(now_ms)
        if speech.state == SPEAKING:
            if not speech.may_sound:
                self.silence()
            else:
                self._feed()
        if speech.state == DRAINING:
            self._drain(now_ms)
        if speech.state == SILENT and speech.is_in_log:  # the network ended a pause
            self._record_end()

    def silence(self, reason=None):
        """Something closes: the amplifier first, then all that waits."""
        if reason is None:
            reason = "mute" if self._parts.gate.muted else "fault"
        speaker = self._speaker
        if speaker is not None and speaker.is_on():
            speaker.stop()
        self._forget_chunk()
        self._speech.stop(reason)
        if speaker is not None and speaker.is_on():
            self._fail()
        elif self._speech.state == SILENT:
            self._record_end()

    def close(self, reason):
        """The firmware ends: nothing sounds any more, and what sounded is recorded."""
        if self._speaker is not None:
            self._speaker.stop()
        self._forget_chunk()
        self._speech.stop(reason)

    def record_close(self):
        """The last record of a sound, when the firmware ends."""
        self._record_end()

    def shown(self, state):
        """The state that the light shows, for the gate's."""
        return SPEAKING_LIGHT if self.is_sounding and state == IDLE else state

    # --- what a person does ---

    def press(self):
        """The button was pressed: whether that ended a sound, and so does no more."""
        speech = self._speech
        if speech.is_over or not (speech.state >= SPEAKING or speech.is_ringing):
            return False  # also the second press
        self.silence("button")
        return True

    # --- what the network asks ---

    def set_volume(self, percent):
        """The network sets the volume; False when the log has no room for it."""
        parts = self._parts
        if not parts.audit.has_room(parts.clock.now_ms()):
            return False
        percent = min(percent, self._speech.volume_max)
        if percent != self._speech.volume or self._volume is not None:
            self._volume = percent
        if percent < self._speech.volume:  # what closes does not wait
            self._speech.set_volume(percent)
        if not self.is_sounding:
            self._settle()
        return True

    def refuse_later(self, what):
        """Something was refused while something sounds: recorded afterwards."""
        if len(self._refused) < _MAX_WAITING:
            self._refused.append(what)

    def complain(self, now_ms):
        """Nobody answered a wake word: say so by a chime, or by the light."""
        has_room = self._parts.audit.has_room(now_ms)
        if not (has_room and self._speech.complain(now_ms)):
            self._parts.light.tell_unheard(now_ms + _UNHEARD_MS)

    # --- inside ---

    def _await(self, now_ms):
        """Accepted, and not yet heard."""
        speech = self._speech
        gate = self._parts.gate
        if speech.is_shut:
            self.silence()
        elif gate.state == STREAMING and not gate.is_held:
            self.silence("word")
        elif speech.is_late(now_ms):
            self.silence("late")
        elif speech.may_start(now_ms):
            self._open(now_ms)

    def _open(self, now_ms):
        """Microphone off, log, light, amplifier; where one fails, nothing sounds."""
        app = self._app
        if not app.rest_microphone():
            return  # it is still on, and the gate closed
        self.holds_microphone = True
        if not self._record_start() or self._parts.gate.state != IDLE:
            self.silence()
            return
        self._speech.start(now_ms)
        if not app.show(now_ms):
            app.fault("light")
            return
        try:
            self._speaker.start()
        except OSError:
            self._break_off()

    def _feed(self):
        """Give the driver what it has room for."""
        try:
            turns = _CHUNKS_PER_TURN
            while turns > 0 and self._give():
                turns -= 1
        except OSError:
            self._break_off()

    def _give(self):
        """One chunk to the driver; False when there is none, or no room."""
        if not self._is_waiting:
            if not self._speech.take(self._chunk):
                return False
            self._is_waiting = True
        if not self._speaker.write(self._chunk):
            return False
        self._is_waiting = False
        return True

    def _break_off(self):
        """The loudspeaker failed, and is off; listening goes on."""
        self.silence("fault")
        self._app.record("fault", what="speaker")

    def _drain(self, now_ms):
        """Play out what the driver holds, then amplifier off, then rest."""
        speech = self._speech
        speaker = self._speaker
        if speech.may_sound:
            self._feed()
        if speech.state != DRAINING or speech.may_sound:
            return
        if speaker.is_on():
            speaker.stop()
            self._forget_chunk()
        if speaker.is_on():
            self._fail()
            return
        speech.rest(now_ms)
        if speech.state == SILENT:
            self._record_end()

    def _fail(self):
        """The amplifier stays on: the gate closes, the light says so, each turn tries again."""
        if self._parts.gate.state != ERROR:
            self._app.fault("speaker")

    def _forget_chunk(self):
        self._chunk[:] = self._silence
        self._is_waiting = False

    def _record_start(self):
        """Before anything sounds; a ringing timer is one sound, with its pauses."""
        speech = self._speech
        if not speech.is_in_log:
            what, volume = speech.kind, speech.volume
            speech.is_in_log = self._app.record("speak-start", what=what, volume=volume)
        return speech.is_in_log

    def _record_end(self):
        """Write what had to wait until nothing sounds."""
        speech = self._speech
        if speech.is_in_log:
            speech.is_in_log = False
            self._app.record(
                "speak-end",
                what=speech.kind,
                duration_ms=speech.played_ms,
                reason=speech.reason,
                late_ms=speech.late_ms,
            )
        while self._refused:
            self._app.remote_refused(self._refused.pop(0))
        self._settle()

    def _settle(self):
        """Record the volume that was asked for; a louder one holds only then."""
        if self._volume is None:
            return
        percent, self._volume = self._volume, None
        if self._app.record("volume", percent=percent, source="network"):
            self._speech.set_volume(percent)
            self._app.changed()
