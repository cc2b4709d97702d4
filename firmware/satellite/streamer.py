"""Keeps the connection to the receiver up and sends it what the gate lets out.

Place in the pipeline: the last.  The device connects out, over TLS, and writes first.  No audio is
sent before the receiver has acknowledged the stream's consent, and none but what `gate.take`
gives.  A slow network holds up nothing else: a task here waits until it takes more, the gate's
outbox fills, and the gate ends the stream.  Where nothing has to be waited for, audio is written
as soon as it is heard, in `notify`.  All times are the device's clock.
"""

import asyncio

import micropython

from . import protocol, sound_messages
from .chunk_words import clear_chunk
from .gate import CHUNK_BYTES, NETWORK, NO_CONSENT, RECEIVER, STREAMING
from .incoming import IncomingLimits
from .speech import Speech

KEEP_ALIVE_MS = 30000
#: A connection is dead, and replaced at once, when a ping is not answered in this time, or when
#: the gate gave up waiting for a consent to be acknowledged.
ANSWER_MS = 10000
#: After a connection that lasted this long the pauses between attempts begin anew.
GOOD_MS = 10000
#: Shortest time between two messages about the newest record of the audit log.
ANCHOR_MS = 60000
#: A write that takes longer ends the connection and drops what was being written.  The first write
#: makes the TLS handshake.
STUCK_MS = 2000
HANDSHAKE_MS = 15000
#: What is read before the audio has its turn again.
READ_BYTES = 128
#: Numbers of OSError below this come from mbed TLS, those above it from the system.
MAX_TLS_ERROR = -1000
#: Answers that may wait to be sent.
MAX_OUTGOING = 4

_FORMAT = {
    "rate": protocol.RATE_HZ,
    "width": protocol.WIDTH_BYTES,
    "channels": protocol.CHANNELS,
}


class SilentError(OSError):
    """The receiver does not answer, although the connection is still open."""


class Streamer:
    """Makes one connection after the other, and sends streams over it.

    connect() -> (reader, writer)  a coroutine; raises OSError or ValueError when it fails; the
                                   writer copies what it has to keep, in `out_buf` until the
                                   network takes it (asyncio's StreamWriter, and its like)
    gate                           gate.Gate
    clock                          now_ms()
    consent                        dict: keep_recordings, share_for_training, preroll_ms
    counters                       count(name)
    random_number()                int, for the jitter of the pauses between attempts
    back_off                       wait_ms(random_byte) and reset(), see drivers/backoff.py
    speech                         speech.Speech; None: one without a loudspeaker
    `log` is the audit log, `status` a device_status.DeviceStatus, `word` the wake word that opened
    the present stream, or None for what is not known.
    `owner` is set by whoever wants to be told: remote_mute(), remote_refused(type), first_byte(),
    connection(up), deleted(count), sent(bytes), remote_withdraw(id), and, each returning whether
    it was obeyed, remote_sensitivity(word, thousandths) and remote_volume(percent).
    """

    def __init__(
        self, connect, gate, clock, consent, counters, random_number, back_off, speech=None
    ):
        self._connect = connect
        self._gate = gate
        self._clock = clock
        self._consent = consent
        self._counters = counters
        self._random_number = random_number
        self._back_off = back_off
        self._event = asyncio.Event()
        self._tick = asyncio.Event()
        self._audio = protocol.AudioChunk()
        self._chunk = self._audio.payload[:CHUNK_BYTES]  # all of it that is used
        self._outgoing = []  # small messages, answers; bounded
        self._writer = None
        self._stream = 0  # the stream that was announced on this connection, 0 for none
        self._has_audio = False
        self._withdrawn = None  # the withdrawal that was sent last on this connection
        self._unconfirmed = 0  # withdrawals sent on it without an answer
        self._unanswered = 0  # the stream whose consent waits to be acknowledged, 0 for none
        self._asked_ms = None  # when the oldest ping without an answer was sent
        self._written_ms = 0
        self._up_ms = 0  # since when the receiver is connected
        self._limits = IncomingLimits()
        self._speech = Speech(gate, None) if speech is None else speech
        self._sounds = sound_messages.SoundMessages(
            self._speech,
            self._limits,
            self._outgoing,
            self._refuse_and_count,
            self._set_volume,
            self._has_room,
            clock.now_ms,
        )
        self.status = None
        self.word = None
        self._has_word = False  # whether it was told in this stream
        self._is_resting = False  # the writing task waits for something to be due
        self._flows = False  # the stream's opening is written, and audio may follow
        self._failure = None  # of a write that the writing task did not make
        self._is_writing = False
        self._has_written = False  # anything on this connection
        self._has_ended = False  # one of its tasks
        self.owner = None
        self.is_connected = False
        self.log = None  # the audit log: seq, hash of its newest record; None for none
        self._anchored_seq = None  # the record that was told on this connection
        self._anchored_ms = -ANCHOR_MS
        self.withdrawal = None  # a consent that the receiver has yet to confirm as withdrawn
        self._handlers = {
            protocol.PING: self._on_ping,
            protocol.PONG: self._on_pong,
            protocol.CONSENT_ACCEPTED: self._on_consent_accepted,
            protocol.STOP: self._on_stop,
            protocol.MUTE: self._on_mute,
            protocol.SENSITIVITY: self._on_sensitivity,
            protocol.DELETED: self._on_deleted,
            protocol.CONSENT_WITHDRAW: self._on_withdraw,
        }
        for type in protocol.REFUSED:
            self._handlers[type] = self._on_refused
        self._handlers.update(self._sounds.handlers)

    @micropython.native
    def notify(self, now_ms):
        """Look again at gate and clock: something may have changed.  Allocates nothing.

        Wakes the tasks only where something is due, since each turn of one makes coroutines;
        returns whether it did.  In a stream that flows the audio is written here.
        """
        if self._flows and self._is_resting and self._is_only_audio_due():
            is_due = self._write_audio(now_ms)
        else:
            is_due = self._writer is None or self._is_due(now_ms)
        if is_due:
            self._event.set()
        if self._is_writing or self._asked_ms is not None or self._unanswered:
            self._tick.set()
            return True
        return is_due

    def changed(self):
        """Something that `status` tells may have changed."""
        if self.status is not None:
            self.status.changed()

    def forbid(self, config):
        """No stream that opens from now on may be kept, as `config` has it."""
        self._consent.update({"keep_recordings": False, "share_for_training": False})
        if self.status is not None:
            self.status.configured(config)

    @property
    def is_in_stream(self):
        """Whether a stream was announced to the receiver and its end was not."""
        return self._stream != 0

    @property
    def awaits_answer(self):
        """Whether a ping was sent whose answer has not come."""
        return self._asked_ms is not None

    async def run(self):
        """Connect, serve and pause, again and again; the pauses grow and jitter."""
        while True:
            is_silent = False
            try:
                reader, self._writer = await self._connect()
                await self._serve(reader)
            except protocol.ProtocolError:
                self._failed("message")
            except ValueError:  # the peer's certificate is for another name
                self._failed("peer")
            except OSError as error:
                number = error.args[0] if error.args else None
                is_tls = isinstance(number, int) and number < MAX_TLS_ERROR
                self._failed("peer" if is_tls else None)
                is_silent = self.is_connected and isinstance(error, SilentError)
            if self.is_connected and self._clock.now_ms() - self._up_ms >= GOOD_MS:
                self._back_off.reset()
            await self._hang_up()
            if is_silent:
                continue
            wake_ms = self._clock.now_ms() + self._back_off.wait_ms(self._random_number() & 255)
            while self._clock.now_ms() < wake_ms:
                await self._wait()

    # --- inside ---

    def _failed(self, refused):
        self._counters.count("reconnects")
        if refused is not None:
            self._refuse(refused)

    async def _wait(self):
        await self._event.wait()
        self._event.clear()

    async def _hang_up(self):
        was_connected = self.is_connected
        self.is_connected = False
        if self._gate.state == STREAMING:
            self._gate.abort(NETWORK)
        self._stream = self._unanswered = 0
        self._flows = False
        self._withdrawn = None
        self._unconfirmed = 0
        self._anchored_seq = None
        self._outgoing.clear()
        self._speech.disconnected()
        if self._writer is not None:
            writer, self._writer = self._writer, None
            writer.close()
            try:
                await writer.wait_closed()
            except OSError:
                pass
        if was_connected and self.owner is not None:
            self.owner.connection(False)

    async def _serve(self, reader):
        """Serve one connection until it ends; raises OSError, ValueError or ProtocolError, or
        returns when the receiver hung up.

        Writing and reading are tasks of their own, since either may wait for ever; here only the
        deadlines are checked.
        """
        self._written_ms = self._clock.now_ms()
        self._limits.start(self._written_ms)
        self._is_writing = self._has_written = self._has_ended = False
        self._is_resting = self._flows = False
        self._failure = None
        self._asked_ms = None
        tasks = [asyncio.create_task(self._write_loop())]
        try:
            while not self._has_ended:
                await self._tick.wait()
                self._tick.clear()
                if self._has_written and len(tasks) == 1:
                    tasks.append(asyncio.create_task(self._read_loop(reader)))
                self._check_deadlines()
            for task in reversed(tasks):
                if task.done():
                    tasks.remove(task)  # MicroPython crashes when one is awaited a second time
                    await task  # raises what ended it
        finally:
            self._flows = False
            for task in tasks:
                task.cancel()
            for task in tasks:
                # Awaiting it before it is done would take a cancel of the streamer for the task's.
                while not task.done():
                    await asyncio.sleep_ms(0)
                try:
                    await task
                except (asyncio.CancelledError, OSError, ValueError, protocol.ProtocolError):
                    pass

    def _check_deadlines(self):
        now_ms = self._clock.now_ms()
        limit_ms = STUCK_MS if self._has_written else HANDSHAKE_MS
        if self._is_writing:
            if now_ms - self._written_ms > limit_ms:
                raise OSError("the network is stuck")
        elif self._asked_ms is not None and now_ms - self._asked_ms > ANSWER_MS:
            raise SilentError("a ping was not answered")
        gate = self._gate
        if self._unanswered and gate.state != STREAMING and gate.stream_id == self._unanswered:
            if gate.last_reason == NO_CONSENT:
                raise SilentError("a consent was not acknowledged")

    async def _write_loop(self):
        """Write a ping, which makes the handshake; then write whatever is due."""
        try:
            await self._ping()
            while True:
                self._is_resting = True
                await self._event.wait()
                self._event.clear()
                self._is_resting = False
                if self._failure is not None:
                    raise self._failure
                await self._write_due()
        finally:
            self._has_ended = True
            self._tick.set()

    async def _read_loop(self, reader):
        """Read the receiver's messages and handle them; wakes `_serve` at the end."""
        decoder = protocol.Decoder(0)
        sounds = self._sounds
        try:
            while True:
                takes_audio = sounds.max_payload_bytes > 0
                data = await reader.read(sound_messages.READ_BYTES if takes_audio else READ_BYTES)
                if not data:
                    return
                self._limits.count_bytes(len(data), self._clock.now_ms())
                decoder.max_payload_bytes = sounds.max_payload_bytes
                for event in decoder.feed(data):
                    self._handle(event)
        finally:
            self._has_ended = True
            self._tick.set()

    def _handle(self, event):
        """Handle a message; types without a handler are ignored and counted."""
        handler = self._handlers.get(event.type)
        if handler is not None:
            handler(event)
        else:
            self._limits.count_ignored()
        self._event.set()

    def _on_ping(self, event):
        self._answer(protocol.PONG, event.data if "text" in event.data else None)

    def _on_pong(self, event):
        self._asked_ms = None
        if not self.is_connected:
            self.is_connected = True
            if self.status is not None:
                self.status.connected()
            self._up_ms = self._clock.now_ms()
            if self.owner is not None:
                self.owner.connection(True)

    def _on_consent_accepted(self, event):
        stream = int(event.data["stream"], 16)
        if stream == self._unanswered:
            self._unanswered = 0
        self._gate.acknowledge(stream)

    def _on_stop(self, event):
        gate = self._gate
        if gate.state == STREAMING and int(event.data["stream"], 16) == gate.stream_id:
            gate.abort(RECEIVER)

    def _on_mute(self, event):
        if not self._gate.soft_muted:
            self._gate.mute("network")
            if self.owner is not None:
                self.owner.remote_mute()

    def _on_sensitivity(self, event):
        word, thousandths = event.data["model"], event.data["cutoff_thousandths"]
        if self.owner is None or not self.owner.remote_sensitivity(word, thousandths):
            self._on_refused(event)

    def _on_deleted(self, event):
        if not self._unconfirmed:
            self._refuse("other")  # nobody asked
            return
        self._unconfirmed -= 1
        if self._unconfirmed or self.withdrawal is not self._withdrawn:
            return  # of one that was sent before: only the answer to the last one counts
        self.withdrawal = None
        if self.owner is not None:
            self.owner.deleted(event.data["count"])

    def _on_withdraw(self, event):
        if self.owner is not None:
            self.owner.remote_withdraw(event.data["id"])

    def _on_refused(self, event):
        self._refuse_and_count(event.type)

    def _refuse_and_count(self, what):
        self._refuse(what)
        self._limits.count_ignored()

    def _set_volume(self, percent):
        return self.owner is not None and self.owner.remote_volume(percent)

    def _has_room(self, now_ms, is_answer):
        """For a sound; an answer comes once for each stream, and the log has room for both."""
        log = self.log
        if log is None:
            return True
        return log.may_stream(now_ms) if is_answer else log.has_room(now_ms)

    def _refuse(self, what):
        self._gate.refuse()
        if self.owner is not None:
            self.owner.remote_refused(what)

    def _answer(self, type, data=None):
        if len(self._outgoing) < MAX_OUTGOING:
            self._outgoing.append(protocol.encode(type, data))

    async def _write_due(self):
        """Write what is due: answers, a stream's opening, audio, its end, a ping."""
        while self._outgoing:
            await self._send(self._outgoing.pop(0))
        if self._speech.has_news:
            for message in self._sounds.news():
                await self._send(message)
        gate = self._gate
        if self._stream and (gate.state != STREAMING or gate.stream_id != self._stream):
            await self._end_stream()
        if gate.state == STREAMING and not gate.is_held:
            if not self._stream:
                await self._open_stream()
            await self._send_audio()
            if gate.is_closing and not gate.waiting_chunks:
                gate.drained()  # first: the answer may be here before audio-stop is written
                await self._end_stream()
        elif self.is_connected:
            if self.withdrawal is not self._withdrawn:
                self._withdrawn = self.withdrawal
                if self.withdrawal is not None:
                    self._unconfirmed += 1
                    await self._send(protocol.encode(protocol.CONSENT_WITHDRAWN, self.withdrawal))
            # Of a held stream the receiver learns nothing yet.
            if gate.state != STREAMING:
                if self._is_anchor_due(self._clock.now_ms()):
                    await self._anchor()
                if self._is_status_due(self._clock.now_ms()):
                    await self._tell_status()
        if self._clock.now_ms() - self._written_ms >= KEEP_ALIVE_MS:
            await self._ping()

    @micropython.native
    def _is_due(self, now_ms):
        """Whether `_write_due` would find something to do; asked with every chunk."""
        if self._outgoing or self._stream or self._speech.has_news:
            return True
        if now_ms - self._written_ms >= KEEP_ALIVE_MS:
            return True
        is_streaming = self._gate.state == STREAMING
        if is_streaming and not self._gate.is_held:
            return True
        if not self.is_connected:
            return False
        if self.withdrawal is not self._withdrawn:
            return True
        return not is_streaming and (self._is_anchor_due(now_ms) or self._is_status_due(now_ms))

    @micropython.native
    def _is_anchor_due(self, now_ms):
        """Whether the log has grown; allocates nothing, as this is asked with every chunk."""
        log = self.log
        if log is None or log.seq == self._anchored_seq or log.seq < 0:
            return False
        return now_ms - self._anchored_ms >= ANCHOR_MS

    def _is_status_due(self, now_ms):
        """Whether the device has something to say of itself; nothing while it speaks."""
        status = self.status
        if status is None or not status.is_due or self._speech.state:
            return False
        return status.may_tell(now_ms)

    async def _tell_status(self):
        data = self.status.news()
        if data is not None:
            await self._send(protocol.encode(protocol.STATUS, data))

    async def _anchor(self):
        """Tell the receiver the log's newest record, so that a later change to it is noticed."""
        log = self.log
        self._anchored_ms = self._clock.now_ms()
        self._anchored_seq = log.seq
        await self._send(protocol.encode(protocol.AUDIT_HEAD, {"seq": log.seq, "hash": log.hash}))

    async def _open_stream(self):
        self._stream = self._unanswered = self._gate.stream_id
        self._has_audio = self._has_word = False
        consent = dict(self._consent)
        consent["stream"] = "%016x" % self._stream
        self._writer.write(protocol.encode(protocol.CONSENT, consent))
        if self.owner is not None:
            self.owner.first_byte()
        await self._drain()

    async def _send_audio(self):
        """Write all that the gate lets out, one chunk a message, so a mute cuts at a chunk."""
        if self._flows and self._writer.out_buf:  # what `_write_audio` left
            await self._drain()
        while self._gate.may_take:
            if not self._has_word:
                self._has_word = True
                if self.word is not None:
                    await self._send(protocol.encode(protocol.DETECTION, {"name": self.word}))
                    continue  # it may have been muted while that was written
            if not self._has_audio:
                self._has_audio = True
                await self._send(protocol.encode(protocol.AUDIO_START, _FORMAT))
                continue  # it may have been muted while that was written
            try:
                count = self._gate.take(self._chunk)
                self._writer.write(self._audio.message(count))
            finally:
                clear_chunk(self._chunk)
            if self.owner is not None:
                self.owner.sent(count)
            self._begin_write()  # as _drain, without a coroutine of its own
            await self._writer.drain()
            self._end_write()
        self._flows = self._has_audio

    @micropython.native
    def _is_only_audio_due(self):
        """Whether the audio of the present stream is all that `_write_due` would find."""
        gate = self._gate
        return (
            gate.state == STREAMING
            and gate.stream_id == self._stream
            and not (gate.is_closing or self._outgoing or self._speech.has_news)
            and not self._event.is_set()
        )

    @micropython.native
    def _write_audio(self, now_ms):
        """As `_send_audio`, at once and without a turn of the writing task.

        Return whether that task has something to do: what the network has not taken yet, or a
        failure, which belongs to it.
        """
        writer = self._writer
        try:
            while self._gate.take(self._chunk):
                writer.write(self._audio.message(CHUNK_BYTES))
                self._written_ms = now_ms
                if self.owner is not None:
                    self.owner.sent(CHUNK_BYTES)
                if writer.out_buf:
                    return True
        except (OSError, ValueError) as error:
            self._failure = error
            return True
        finally:
            clear_chunk(self._chunk)
        return False

    async def _end_stream(self):
        self._stream = 0
        self._flows = False
        if self._has_audio:
            self._has_audio = False
            await self._send(protocol.encode(protocol.AUDIO_STOP))
            await self._ping()  # nothing else tells whether the stream arrived

    async def _ping(self):
        is_first = self._asked_ms is None
        if is_first:
            self._asked_ms = self._clock.now_ms()
        await self._send(protocol.encode(protocol.PING))
        if is_first and self._asked_ms is not None:  # the time to write it is not the receiver's
            self._asked_ms = self._clock.now_ms()

    async def _send(self, message):
        self._writer.write(message)
        await self._drain()

    async def _drain(self):
        self._begin_write()
        await self._writer.drain()
        self._end_write()

    def _begin_write(self):
        self._written_ms = self._clock.now_ms()
        self._is_writing = True

    def _end_write(self):
        self._is_writing = False
        self._has_written = True
