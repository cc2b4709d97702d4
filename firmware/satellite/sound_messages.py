"""The receiver's messages about sound, and what the device says of it.

Place in the pipeline: inside the streamer, before `speech`.  Asks `speech` and answers; decides
nothing itself but how much may come in.
"""

from . import protocol
from .protocol import MAX_SPEECH_MS, MAX_SPEECH_PAYLOAD_BYTES, ProtocolError

#: How long audio of a sound that the device ended may still come.
DROP_MS = 5000
#: What is read at a time while audio comes.
READ_BYTES = 1024
#: Answers that may wait to be sent.
MAX_ANSWERS = 8


class SoundMessages:
    """`outgoing` is the streamer's list of messages, `limits` its IncomingLimits.

    refuse(what)  records a refusal, raises ProtocolError for one too many
    set_volume(p)  whether the owner of the streamer took it
    has_room(now_ms, is_answer)  whether the audit log has room for another sound
    """

    def __init__(self, speech, limits, outgoing, refuse, set_volume, has_room, now_ms):
        self._speech = speech
        self._limits = limits
        self._outgoing = outgoing
        self._refuse = refuse
        self._set_volume = set_volume
        self._has_room = has_room
        self._now_ms = now_ms
        self._dropped_ms = None  # when audio of an ended sound first came
        self.handlers = {
            protocol.SPEAK: self._on_speak,
            protocol.CHIME: self._on_speak,
            protocol.SPEAK_STOP: self._on_speak_stop,
            protocol.AUDIO_START: self._on_audio,
            protocol.AUDIO_CHUNK: self._on_audio,
            protocol.AUDIO_STOP: self._on_audio,
            protocol.VOLUME: self._on_volume,
        }

    @property
    def max_payload_bytes(self):
        """What an audio-chunk may hold now."""
        return MAX_SPEECH_PAYLOAD_BYTES if self._speech.takes_audio else 0

    def news(self):
        """The messages that are due, as a list of bytes."""
        speech = self._speech
        said = []
        freed = speech.credit()
        if freed:
            self._limits.allow(freed)
            said.append(protocol.encode(protocol.CREDIT, {"id": speech.id, "bytes": freed}))
        over = speech.over()
        if over is not None:
            name, played_ms, why = over
            data = {"id": name, "ms": min(played_ms, MAX_SPEECH_MS), "why": why}
            said.append(protocol.encode(protocol.PLAYED, data))
        return said

    # --- inside ---

    def _on_speak(self, event):
        data = event.data
        is_chime = event.type == protocol.CHIME
        stream = data.get("stream")
        now_ms = self._now_ms()
        speech = self._speech
        why = None if self._has_room(now_ms, stream is not None) else "log"
        if why is None:
            why = speech.ask(
                data["id"],
                data["kind"],
                None if stream is None else int(stream, 16),
                data.get("length_ms", MAX_SPEECH_MS),
                now_ms,
                is_chime,
            )
        if why is not None:
            self._answer(protocol.SPEAK_REFUSED, {"id": data["id"], "why": why})
            self._refuse(event.type)
            return
        self._dropped_ms = None
        credit = 0 if is_chime else speech.incoming.capacity
        self._limits.allow(credit)
        self._answer(protocol.SPEAK_ACCEPTED, {"id": data["id"], "credit": credit})

    def _on_speak_stop(self, event):
        if self._speech.id == event.data["id"]:
            self._speech.stop("receiver")

    def _on_audio(self, event):
        speech = self._speech
        if event.type == protocol.AUDIO_START:
            is_allowed = speech.begin_audio()
        elif event.type == protocol.AUDIO_CHUNK:
            is_allowed = speech.put(event.payload)
        else:
            is_allowed = speech.end_audio()
            self._limits.allow_no_more()
        if not is_allowed or self._is_overdue():
            self._refuse(event.type)
            raise ProtocolError("%s out of order" % event.type)

    def _is_overdue(self):
        """Whether this belongs to a sound that the device ended too long ago."""
        if not self._speech.incoming.is_dropping:
            self._dropped_ms = None
            return False
        now_ms = self._now_ms()
        if self._dropped_ms is None:
            self._dropped_ms = now_ms
        return now_ms - self._dropped_ms > DROP_MS

    def _on_volume(self, event):
        if not self._set_volume(event.data["percent"]):
            self._refuse(event.type)

    def _answer(self, type, data):
        if len(self._outgoing) >= MAX_ANSWERS:
            raise ProtocolError("more than %d answers wait" % MAX_ANSWERS)
        self._outgoing.append(protocol.encode(type, data))
