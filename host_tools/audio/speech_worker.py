"""Speak one utterance through the espeak-ng library, in a process of its own; started by `speech`.

espeak-ng keeps its state in globals, and the second utterance of a process differs from the first
by a few samples.  A fresh process for each one makes the same text the same samples, always.

Arguments: voice, words per minute, pitch; the text comes on stdin as UTF-8.  Writes to stdout the
sample rate as one line of text, then the samples as int16.  Exit status 3: no such voice.
With voices alone, commas between them, it writes how each says every line of stdin, in IPA.
Imports nothing of the project, and no numpy, so that it starts in a few hundredths of a second.
"""

import ctypes
import sys
from typing import Any

import espeakng_loader

# Names and values of espeak-ng's speak_lib.h.
AUDIO_OUTPUT_SYNCHRONOUS = 2
PARAMETER_RATE = 1
PARAMETER_PITCH = 3
CHARS_UTF8 = 1
POS_CHARACTER = 1
PHONEMES_IPA = 0x02
#: Two letters of one sound have this between them.
TIE = "^"
_PHONEMES_TIED = 0x80 | (ord(TIE) << 8)

NO_SUCH_VOICE = 3
NOT_SPOKEN = 4


def load_library() -> tuple[ctypes.CDLL, int]:
    """Return the library, ready to give samples back, and its sample rate in Hz."""
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    data_path = espeakng_loader.get_data_path().encode()
    rate_hz = library.espeak_Initialize(AUDIO_OUTPUT_SYNCHRONOUS, 0, data_path, 0)
    return library, rate_hz


def speak(voice: str, words_per_minute: int, pitch: int, text: bytes) -> int:
    """Write rate and samples to stdout; return the exit status."""
    library, rate_hz = load_library()
    if rate_hz <= 0:
        return NOT_SPOKEN
    if library.espeak_SetVoiceByName(voice.encode()) != 0:
        return NO_SUCH_VOICE
    library.espeak_SetParameter(PARAMETER_RATE, words_per_minute, 0)
    library.espeak_SetParameter(PARAMETER_PITCH, pitch, 0)
    pieces: list[bytes] = []

    def collect(wav: Any, count: int, _events: object) -> int:
        if wav and count > 0:
            pieces.append(ctypes.string_at(wav, 2 * count))
        return 0

    callback_type = ctypes.CFUNCTYPE(
        ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
    )
    callback = callback_type(collect)
    library.espeak_SetSynthCallback(callback)
    status = library.espeak_Synth(
        ctypes.c_char_p(text),
        ctypes.c_size_t(len(text) + 1),
        ctypes.c_uint(0),
        ctypes.c_int(POS_CHARACTER),
        ctypes.c_uint(0),
        ctypes.c_uint(CHARS_UTF8),
        None,
        None,
    )
    if status != 0:
        return NOT_SPOKEN
    sys.stdout.buffer.write(b"%d\n" % rate_hz + b"".join(pieces))
    return 0


def pronounce(voices: list[str], lines: list[bytes]) -> int:
    """Write how each line is said, in IPA with stress marks and ties; return the exit status."""
    library, _ = load_library()
    next_clause = library.espeak_TextToPhonemes
    next_clause.restype = ctypes.c_char_p
    next_clause.argtypes = [ctypes.POINTER(ctypes.c_char_p), ctypes.c_int, ctypes.c_int]
    for voice in voices:
        if library.espeak_SetVoiceByName(voice.encode()) != 0:
            return NO_SUCH_VOICE
        for line in lines:
            left = ctypes.c_char_p(line)
            said = []
            while left.value:
                said.append(
                    next_clause(ctypes.byref(left), CHARS_UTF8, PHONEMES_IPA | _PHONEMES_TIED)
                )
            sys.stdout.buffer.write(b", ".join(filter(None, said)) + b"\n")
    return 0


if __name__ == "__main__":
    if len(sys.argv) == 2:
        sys.exit(pronounce(sys.argv[1].split(","), sys.stdin.buffer.read().split(b"\n")))
    sys.exit(speak(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.stdin.buffer.read()))
