"""A simulated amplifier: what it is given sounds 10 ms after 10 ms of device time.

Runs inside MicroPython.  As the board's driver (drivers/i2s_speaker.py) it begins with a whole
turn of silent buffers, refuses to start beside the microphone, plays silence when nothing was
written, counts that, and drops what it holds when it is stopped.  What sounds goes to
`emit_sound`; on request it comes back to the microphone as the echo of a room.
"""

from array import array

CHUNK_BYTES = 320
CHUNK_MS = 10
SAMPLES = 160
#: Chunks that wait in the DMA's buffers, and silent ones before the first.
BUFFERED_CHUNKS = 26
SILENT_CHUNKS = 25


class Speaker:
    """`world` is the SimulatedWorld, `mic` the microphone that must be off; `echo_q15` how loud
    the echo is at the microphone, 0 for none, 32768 as loud as what sounds.
    """

    def __init__(self, world, mic, emit_sound, echo_q15=0):
        self._world = world
        self._mic = mic
        self._emit_sound = emit_sound
        self._echo_q15 = echo_q15
        self._echo = array("h", bytes(CHUNK_BYTES))
        self._has_echo = False
        self._is_on = False
        self._held = []
        self._was_written = False
        self._ran_out = False
        self.late = 0
        self.buffer_ms = (BUFFERED_CHUNKS + 1) * CHUNK_MS
        world.speaker = self

    def start(self):
        if self._is_on:
            return
        if self._world.speaker_fails:
            raise OSError("no such port")
        if self._mic.is_on():
            raise OSError("the microphone is on")
        self._is_on = True
        self._held = [None] * SILENT_CHUNKS
        self._was_written = self._ran_out = False
        self._world.emit("speaker", on=True)

    def stop(self):
        self._held = []
        if self._is_on and not self._world.speaker_is_stuck:
            self._is_on = False
            self._world.emit("speaker", on=False)

    def is_on(self):
        return self._is_on

    def write(self, chunk):
        """Keep 320 bytes until their time comes."""
        if not self._is_on or self._world.speaker_fails:
            self.stop()
            raise OSError("the speaker is off")
        if len(self._held) >= BUFFERED_CHUNKS:
            return False
        if self._ran_out:
            self._ran_out = False
            self.late += 1
        self._held.append(bytes(chunk))
        self._was_written = True
        return True

    def time_passed(self, heard):
        """10 ms: the next chunk sounds, and `heard`, what the microphone hears, gets its echo."""
        if self._has_echo:
            self._add_echo(heard)
        sounding = None
        if self._is_on:
            if self._held:
                sounding = self._held.pop(0)
            elif self._was_written:
                self._ran_out = True
            if sounding is not None:
                self._emit_sound(sounding)
        if self._has_echo or (self._echo_q15 and sounding is not None):
            self._fade_echo(sounding)

    def _add_echo(self, heard):
        """The room still sounds of what was played up to 10 ms ago."""
        echo = self._echo
        mixed = array("h", bytes(heard))
        for i in range(SAMPLES):
            mixed[i] = min(max(mixed[i] + echo[i], -32768), 32767)
        heard[:] = bytes(mixed)

    def _fade_echo(self, sounding):
        """A room that loses half of its level every 10 ms: of full scale nothing after 160 ms."""
        echo = self._echo
        samples = None if sounding is None else array("h", sounding)
        for i in range(SAMPLES):
            value = int(echo[i] / 2)
            if samples is not None:
                value += samples[i] * self._echo_q15 >> 15
            echo[i] = min(max(value, -32768), 32767)
        self._has_echo = any(echo)
