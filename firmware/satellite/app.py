"""The application: what is heard, what the light shows, what may leave, in one order.

Place in the pipeline: above everything but main.py, which hands in the drivers.  One loop does
all that concerns microphone, light and gate, so their order is the order of its lines:

* what closes: the microphone, read back; what is stored; the light; the audit log;
* what opens: what is stored; the audit log; the light; and the microphone last;
* on a wake word: the gate, then the light, then - when this loop waits - the first byte;
* on a sound: `speaking`, and nothing of it here.

So whatever the light or the log has said survives the next power loss.  The network runs beside
it in `streamer` and can only use the gate's methods.
"""

import asyncio
import gc

from .counters import step as count_step
from .gate import (
    CHUNK_BYTES,
    END_OF_SPEECH,
    ERROR,
    IDLE,
    MUTED,
    NO_CONSENT,
    NOT_READY,
    REASON_NAMES,
    STREAMING,
)
from .mute_state import STORED
from .speaking import Speaking
from .speech import SPEAKING
from .withdrawing import Withdrawing

#: How long to wait between two looks at the controls while the microphone is off.
QUIET_STEP_MS = 10
#: How many turns of the loop one coroutine makes.
TURNS = 6000
#: After so many turns at most the other tasks have theirs, though the microphone never waits.
PATIENCE_TURNS = 4
#: How long to wait before what could not be stored is stored again.
AGAIN_MS = 1000
#: For how many turns after a press that ended a sound the button may be held, which mutes.
HOLD_TURNS = 200
#: How long a switch that reads "muted" at the start may take to be believed to stand open.
SWITCH_MS = 80


class App:
    """Ties the parts together; `parts` is any object with these attributes.

    engine    wakeword.engine.Engine                 gate       gate.Gate
    light     light.Light                            end_of_speech  end_of_speech.EndOfSpeech
    mic       ports.Microphone                        controls   was_pressed() press_was_missed()
                                                                 has_button switch_muted()
                                                                 switch_was_moved()
    streamer  streamer.Streamer                      clock      now_ms() ticks_us() sleep_ms()
    audit     append(kind, now_ms, **fields)         mute_store load() save(muted)
    counters  counters.Counters                       watchdog   feed()
    consent   consent.Consent                        config     config.Config
    sensitivity  sensitivity_state.SensitivityState   withdrawn  withdrawn_state.WithdrawnState
    wifi      ports.Wifi or None                     speech     speech.Speech
    speaker   ports.Speaker or None
    reset     why the device started, a word of audit_record.RESETS
    random_number() -> int, new for every stream
    """

    def __init__(self, parts):
        self.parts = parts
        self._gate = parts.gate
        self._speech = parts.speech
        self._speaking = Speaking(self, parts)
        self._withdrawing = Withdrawing(self, parts)
        self._chunk = bytearray(CHUNK_BYTES)
        self._silence = bytes(CHUNK_BYTES)
        self._stored_mute = True  # None: not known
        self._mute_source = None  # of a mute that is not yet in the log
        self._starts_muted = True
        self._ready_ms = None  # when to open the gate at the start; None: it was
        self._needs_looks = True  # of `_look`, though the controls are still
        self._store_again_ms = 0
        self._tick_again_ms = 0
        self._stream_began_ms = 0
        self._speech_began_ms = 0
        self._dropped_chunks = 0
        self._in_stream = False
        self._refused = 0
        self._health = 0
        self._hold_turns = 0  # in which a button that ended a sound may be held, and mutes
        self._overruns = 0
        self._renewals = 0
        self._tasks = []
        self.is_connected = False
        self.worst_first_byte_ms = 0  # from the chunk that began the speech to the socket

    async def run(self, beside=None):
        """Run until something fails, with the coroutine `beside`; the caller then calls close."""
        self.boot()
        for coroutine in (self.parts.streamer.run(), beside):
            if coroutine is not None:
                self._tasks.append(asyncio.create_task(coroutine))
        while True:
            await self.step(TURNS)
            for task in self._tasks:
                if task.done():
                    self._tasks.remove(task)  # awaited a second time it would crash MicroPython
                    await task  # raises what ended it
                    raise RuntimeError("a task has ended")

    def boot(self):
        """Read the stored mute state, record the start, open the gate as far as it may be."""
        parts = self.parts
        now_ms = parts.clock.now_ms()
        config = parts.config
        self._show(now_ms)
        self._stored_mute = parts.mute_store.load() is not False
        is_on_mute = parts.controls.switch_muted() is True
        self._gate.switch(is_on_mute)
        self._starts_muted = muted = self._stored_mute or config.muted_on_boot
        if parts.mute_store.found != STORED:
            self._gate.soft_source = "unknown"
        elif not self._stored_mute:
            self._gate.soft_source = "setting"
        self._record(
            "boot",
            reset=parts.reset,
            muted=muted,
            preroll_ms=config.preroll_ms,
            keep_recordings=config.keep_recordings,
            share_for_training=config.share_for_training,
            insecure=config.insecure,
        )
        parts.sensitivity.load()
        if parts.sensitivity.is_damaged:
            self._record("fault", what="storage")
        self._withdrawing.boot()
        if self._gate.state != ERROR:
            self._ready_ms = now_ms + SWITCH_MS if is_on_mute else now_ms
            self._open_at_start(now_ms)

    async def step(self, turns=1):
        """Turns of the loop: controls, microphone and light, one chunk of audio in each.

        Returns early when a task has ended.  One call for many turns, since each call allocates.
        """
        # This one frame serves thousands of chunks, so all that a chunk needs is in its locals: on
        # the chip an attribute costs 200 instructions, a call 500, a local 5.
        parts = self.parts
        gate, speech, mic, level = self._gate, self._speech, parts.mic, parts.level
        engine, end_of_speech, audit = parts.engine, parts.end_of_speech, parts.audit
        now, ticks_us, are_still = (
            parts.clock.now_ms,
            parts.clock.ticks_us,
            parts.controls.are_still,
        )
        is_on, try_read, read = mic.is_on, mic.try_read, mic.read
        hear, process, listen = gate.hear, engine.process, end_of_speech.listen
        update_light, feed, notify = parts.light.update, parts.watchdog.feed, parts.streamer.notify
        chunk, features, counts, wifi = self._chunk, engine.slice, parts.counters.words, parts.wifi
        idle, streaming, speaking, took = IDLE, STREAMING, SPEAKING, count_step
        refused = changes = -1  # look at once
        unbroken = 0  # turns since the other tasks had theirs
        now_ms = now()
        while turns > 0:
            turns -= 1
            if self._needs_looks or not are_still():
                self._look(now_ms)
            if speech.state or speech.is_in_log:
                self._speaking.turn(now_ms)
            state = gate.state
            is_listening = (
                (state == idle or state == streaming)
                and is_on()
                and update_light(state, True, now_ms)
            )
            if not is_listening:  # not all is as it should be
                self._obey(now_ms)
                is_listening = gate.may_listen and is_on()
            if is_listening:
                unbroken += 1
                try:
                    if not try_read(chunk):
                        await read(chunk)
                        unbroken = 0
                except OSError:
                    self.fault("microphone")
                    if self._has_ended_task():
                        return
                    now_ms = now()
                    continue
                now_ms = now()
                state = gate.state
                if state == idle or state == streaming:  # or it was muted while it was read
                    began_us = ticks_us()
                    hear(chunk)
                    model = process(chunk)
                    if level.is_watched:
                        level.hear(chunk)
                    if engine.slice_ready:
                        if gate.state == streaming:
                            self._look_for_speech()
                        else:
                            listen(features, chunk)
                    if model >= 0 and gate.state != streaming:
                        self._wake(model)
                    if mic.changes != changes:
                        changes = mic.changes
                        self._look_at_microphone()
                    took(counts, (ticks_us() - began_us) & 0x3FFFFFFF)
                    state = gate.state
                if state != idle and state != streaming:
                    self._obey(now_ms)  # the microphone first, then what has to be stored
            else:
                await parts.clock.sleep_ms(QUIET_STEP_MS)
                unbroken = 0
                now_ms = now()
            if speech.state < speaking and (  # while something sounds nothing is written
                audit.has_waiting
                or gate.refused != refused
                or (self._in_stream and gate.state != streaming)
                or (wifi is not None and wifi.renewals != self._renewals)
            ):
                refused = gate.refused
                self._keep_records(now_ms)
            is_awake = notify(now_ms)
            feed()
            # Reading what has waited gives the others no turn.
            if is_awake or unbroken >= PATIENCE_TURNS:
                await asyncio.sleep_ms(0)
                unbroken = 0
                now_ms = now()
            if not unbroken and self._has_ended_task():
                return

    def fault(self, what):
        """Close the gate, stop the microphone, record it."""
        self._gate.fault()
        self.parts.counters.count("faults")
        self._obey(self.parts.clock.now_ms())
        self._record("fault", what=what)
        self._keep_records(self.parts.clock.now_ms())
        self.changed()

    def close(self, what="crash"):
        """The last thing before the firmware ends: nothing may listen or leave any more.

        `what` is recorded as the fault that ended it, when all is closed; that may raise.
        """
        mic = self.parts.mic
        now_ms = self.parts.clock.now_ms()
        self._gate.fault()
        self._speaking.close("fault")
        was_on = mic.is_on() or self._speaking.holds_microphone
        mic.stop()
        self._chunk[:] = self._silence
        self.parts.light.update(ERROR, mic.is_on(), 0)  # no pattern begins dark
        for task in self._tasks:
            try:
                task.cancel()
            except RuntimeError:
                pass  # Ctrl-C came while it ran: asyncio takes it for running, and it never will
        self._store_mute(now_ms)
        self._speaking.record_close()
        if was_on and not mic.is_on():
            self._record("mic", on=False)
        self._record_mute()
        self._record("fault", what=what)
        self._keep_records(self.parts.clock.now_ms())

    # --- what the streamer reports ---

    def remote_mute(self):
        """The network muted; the gate has already obeyed, and the audio loop does the rest."""
        self._mute_source = self._mute_source or "network"

    def remote_sensitivity(self, word, thousandths):
        """The network asks for a higher cutoff: applied, stored, recorded; False: refused."""
        parts = self.parts
        if not parts.sensitivity.may_raise(word, thousandths):
            return False
        if not parts.audit.has_room(parts.clock.now_ms()):
            return False
        try:
            parts.sensitivity.raise_to(word, thousandths)
        except OSError:
            parts.counters.count("faults")
            self._record("fault", what="storage")
            return False
        self._record("sensitivity", model=word, cutoff_thousandths=thousandths, source="network")
        self.changed()
        return True

    def remote_refused(self, what):
        """The network asked for something that it may not have."""
        if self._speaking.is_sounding:
            self._speaking.refuse_later(what)
        else:
            self._record("refused", what=what, source="network")

    def remote_volume(self, percent):
        """The network sets the volume, within what the owner allows; False: refused."""
        return self._speaking.set_volume(percent)

    def first_byte(self):
        """The first byte of a stream was handed to the socket; how long after speech began."""
        took_ms = self.parts.clock.now_ms() - self._speech_began_ms
        self.worst_first_byte_ms = max(self.worst_first_byte_ms, took_ms)
        return took_ms

    def connection(self, is_up):
        """The receiver was reached or lost."""
        self.is_connected = is_up

    def remote_withdraw(self, id):
        """The network takes all consent back; it is told so once that is stored and recorded."""
        self._withdrawing.take_back(id)

    def deleted(self, count):
        """The receiver deleted what it had kept under a consent that was withdrawn."""
        self._withdrawing.deleted(count)

    def sent(self, size):
        """`size` bytes of audio were handed to the socket."""

    # --- what speaking and withdrawing need ---

    def rest_microphone(self):
        """Switch the microphone off for a sound, and forget what it heard; whether it reads off.

        The log says nothing of it: `speak-start` and `speak-end` do.
        """
        self._record_end()  # of a stream that has just ended
        self._stop_microphone()
        if self.parts.mic.is_on():
            self.fault("microphone")
            return False
        self._gate.forget()
        gc.collect()  # nobody listens, and nothing sounds yet
        return True

    def show(self, now_ms):
        """Let the light follow; False when it cannot."""
        return self._show(now_ms)

    def record(self, kind, **fields):
        """Write a record; False, with the gate closed, when that failed."""
        return self._record(kind, **fields)

    def record_end(self):
        """Write the record of a stream that has just ended."""
        self._record_end()

    def changed(self):
        """Something that `status` says has changed."""
        self.parts.streamer.changed()

    def look_again(self):
        """Something has to be done that cannot be done yet: `Withdrawing.turn` is called."""
        self._needs_looks = True

    # --- inside ---

    def _look(self, now_ms):
        """What a person did, and whether the gate may be opened at the start."""
        if self._hold_turns or not self.parts.controls.are_still():
            self._serve_controls()
        if self._ready_ms is not None:
            self._open_at_start(now_ms)
        withdrawing = self._withdrawing
        if withdrawing.is_waiting:
            withdrawing.turn(now_ms)
        is_at_start = self._ready_ms is not None
        self._needs_looks = self._hold_turns > 0 or is_at_start or withdrawing.is_waiting

    def _has_ended_task(self):
        for task in self._tasks:
            if task.done():
                return True
        return False

    def _look_for_speech(self):
        """Open a held stream when somebody speaks, and end it when nobody does any more."""
        gate = self._gate
        is_over = self.parts.end_of_speech.update(self.parts.engine.slice, self._chunk)
        if gate.state != STREAMING:
            return
        if not gate.is_held:
            if is_over:
                gate.close_input(END_OF_SPEECH)
        elif self.parts.end_of_speech.heard_speech:
            self._speech_began_ms = self.parts.clock.now_ms()
            gate.speech()

    def _look_at_microphone(self):
        """Record a microphone that went dead, and what its driver lost."""
        parts = self.parts
        health = parts.mic.health()
        if health != self._health:
            self._health = health
            if health:
                parts.counters.count("faults")
                self._record("fault", what="microphone")
        overruns = parts.mic.overruns
        if overruns != self._overruns:
            parts.counters.count("overruns", max(0, overruns - self._overruns))
            self._overruns = overruns
            self._record("fault", what="overrun")

    def _wake(self, model):
        parts = self.parts
        config = parts.config
        mean = parts.engine.detectors[model].mean
        name = config.models[model]
        now_ms = parts.clock.now_ms()
        self._record_end()  # of a stream that ended while this very chunk was read
        parts.counters.count("wakes")
        if not parts.streamer.is_connected or not parts.audit.may_stream(now_ms):
            self._record("wake", model=name, probability=mean, streamed=False)
            return
        try:
            parts.consent.use()
        except OSError:
            self.fault("storage")
            return
        self._gate.wake(parts.random_number())
        parts.streamer.word = name
        parts.counters.count("streams")
        parts.end_of_speech.begin()
        self._in_stream = True
        self._stream_began_ms = now_ms
        self._dropped_chunks = self._gate.dropped_chunks
        if not self._show(now_ms):  # before the first byte
            self._in_stream = False
            self.fault("light")
            self._record("wake", model=name, probability=mean, streamed=False)
            return
        self._record("wake", model=name, probability=mean, streamed=True)
        self._record(
            "stream-start",
            preroll_ms=config.preroll_ms,
            keep_recordings=config.keep_recordings,
            share_for_training=config.share_for_training,
            receiver=config.receiver_name,
        )

    def _serve_controls(self):
        parts = self.parts
        gate = self._gate
        switch = parts.controls.switch_muted()
        if switch is not None:
            was_muted = gate.muted
            # Without a button, moving the switch off mute is how a person unmutes, whatever muted.
            is_moved = not parts.controls.has_button and parts.controls.switch_was_moved()
            gate.switch(switch)
            if is_moved and gate.state == MUTED and self._save_mute(False):
                gate.unmute()
            if self._ready_ms is not None or gate.muted == was_muted:
                pass  # at the start the switch has yet to be believed
            elif gate.muted:
                self._mute_source = "switch"
            else:
                self._record_unmute("switch")
        was_pressed = parts.controls.was_pressed()
        was_missed = parts.controls.press_was_missed()
        if was_pressed:
            self._press()
        elif was_missed and gate.state != ERROR:
            self._mute_by_button()
        if self._hold_turns:
            self._hold_turns -= 1
            if parts.controls.is_held():
                self._hold_turns = 0
                self._mute_by_button()

    def _mute_by_button(self):
        if not self._gate.muted:
            self._gate.mute()
            self._mute_source = "button"

    def _press(self):
        gate = self._gate
        if gate.may_listen and self._speaking.press():
            self._hold_turns = HOLD_TURNS
        elif (
            gate.state == ERROR
        ):  # a person asks to try again; nobody is heard before another press
            gate.mute()
            if self._show(self.parts.clock.now_ms()):
                gate.ready(True)
                self._mute_source = "button"
        elif gate.state != MUTED:
            self._mute_by_button()
        elif not gate.switch_muted and self._save_mute(False):
            gate.unmute()
            self._record_unmute("button")
        else:
            gate.refuse()
            if self._stored_mute is None:
                self._save_mute(True)
            self._record("refused", what="unmute", source="button")

    def _save_mute(self, muted):
        """Store the mute state; False when that failed: a mute will then be stored again."""
        try:
            self.parts.mute_store.save(muted)
        except OSError:
            self.parts.counters.count("faults")
            self._stored_mute = None
            self._store_again_ms = self.parts.clock.now_ms() + AGAIN_MS
            self._record("fault", what="storage")
            return False
        self._stored_mute = muted
        return True

    def _open_at_start(self, now_ms):
        """Open the gate once it is known where the switch stands."""
        gate = self._gate
        if gate.switch_muted and now_ms < self._ready_ms:
            return
        self._ready_ms = None
        if gate.state != NOT_READY:
            return
        gate.ready(self._starts_muted)
        if gate.muted:
            self._mute_source = "boot"
        else:
            self._record("mute", on=False, source="boot")

    def _obey(self, now_ms):
        """Bring microphone, storage, light and log in line with the gate, in the order above."""
        if not self._gate.may_listen:
            self._close(now_ms)
        elif not self.parts.mic.is_on() and self._speech.may_listen:
            self._open(now_ms)
        elif not self._show(now_ms):
            self.fault("light")

    def _close(self, now_ms):
        """Loudspeaker, microphone, storage, light, log."""
        gate = self._gate
        if self._speech.state:
            self._speaking.silence()
        was_on = self._stop_microphone() or self._speaking.holds_microphone
        self._speaking.holds_microphone = False
        self._store_mute(now_ms)
        is_shown = self._show(now_ms)
        if was_on:
            self._record_stop()
        self._record_mute()
        if not is_shown and gate.state != ERROR and gate.state != NOT_READY:
            self.fault("light")
        if was_on:
            gc.collect()  # nobody listens

    def _open(self, now_ms):
        """Log, light, microphone; where one fails, the microphone stays off."""
        gate = self._gate
        if not self._speaking.holds_microphone:
            self._record("mic", on=True)
        self._speaking.holds_microphone = False
        if not gate.may_listen:  # the record could not be written
            return
        if not self.parts.light.update(gate.state, True, now_ms):
            self._record("mic", on=False)
            self.fault("light")
            return
        self.parts.engine.reset()  # nothing of what was heard before the silence
        self.parts.end_of_speech.reset()
        try:
            self.parts.mic.start()
        except OSError:
            self._record("mic", on=self.parts.mic.is_on())
            self.fault("microphone")

    def _stop_microphone(self):
        """Switch it off and forget what it heard; whether it was on."""
        mic = self.parts.mic
        was_on = mic.is_on()
        if was_on:
            mic.stop()
            self._chunk[:] = self._silence
        return was_on

    def _record_stop(self):
        if not self.parts.mic.is_on():
            self._record("mic", on=False)
        else:  # still on: the light says so, the log counts such faults and writes few
            self._record("fault", what="microphone")

    @property
    def _is_mute_stored(self):
        """Whether the next start is muted as well: by the switch, or by what is stored."""
        return self._gate.switch_muted or self._stored_mute is True

    def _store_mute(self, now_ms):
        if self._gate.soft_muted and self._stored_mute is not True and self._ready_ms is None:
            if self._stored_mute is False or now_ms >= self._store_again_ms:
                self._save_mute(True)

    def _record_mute(self):
        if self._mute_source is not None and self._is_mute_stored:
            source, self._mute_source = self._mute_source, None
            self._record("mute", on=True, source=source)
            self.changed()

    def _record_unmute(self, source):
        """After it was stored, before it is shown; a mute of the same turn comes first."""
        if self._mute_source is not None:
            self._record("mute", on=True, source=self._mute_source)
            self._mute_source = None
        self._record("mute", on=False, source=source)
        self.changed()

    def _show(self, now_ms):
        """The gate's state; a mute that is not stored yet is not shown as one."""
        state = self._gate.state
        if state == MUTED and not self._is_mute_stored:
            state = NOT_READY
        if self._speech.state:
            state = self._speaking.shown(state)
        return self.parts.light.update(state, self.parts.mic.is_on(), now_ms)

    def _keep_records(self, now_ms):
        """Record what ended and what was refused; write the counts that are due."""
        gate = self._gate
        if now_ms >= self._tick_again_ms:
            self._write_counts(now_ms)
        if self._in_stream:
            self._record_end()
        wifi = self.parts.wifi
        if wifi is not None and wifi.renewals != self._renewals:
            self.parts.counters.count("wifi_renewals", wifi.renewals - self._renewals)
            self._renewals = wifi.renewals
            self._record("fault", what="network")
        if gate.refused != self._refused:
            self._refused = gate.refused
            self.parts.counters.count("refused")

    def _write_counts(self, now_ms):
        try:
            self.parts.audit.tick(now_ms)
        except OSError:
            self._tick_again_ms = now_ms + AGAIN_MS
            self._fail_to_record()

    def _record_end(self):
        """Record the stream that was running, when the gate says that it has ended."""
        if self._in_stream and self._gate.state != STREAMING:
            self._in_stream = False
            now_ms = self.parts.clock.now_ms()
            self._speech.rules.note_stream(now_ms)
            self._record_stream()
            if self._gate.last_reason == NO_CONSENT:
                self._speaking.complain(now_ms)
            gc.collect()  # now rather than in the next stream: the ring holds what comes meanwhile

    def _record_stream(self):
        gate = self._gate
        dropped = gate.dropped_chunks - self._dropped_chunks
        self.parts.counters.count("dropped_chunks", dropped)
        self._record(
            "stream-end",
            bytes=gate.sent_bytes,
            duration_ms=self.parts.clock.now_ms() - self._stream_began_ms,
            reason=REASON_NAMES[gate.last_reason],
            dropped_chunks=dropped,
            receiver=self.parts.config.receiver_name,
        )

    def _record(self, kind, **fields):
        """Into the audit log; what cannot be recorded must not happen.  False when it was not."""
        try:
            self.parts.audit.append(kind, self.parts.clock.now_ms(), **fields)
        except OSError:
            self._fail_to_record()
            return False
        return True

    def _fail_to_record(self):
        if self._gate.state != ERROR:
            self._gate.fault()
            self.parts.counters.count("faults")
            self.changed()
