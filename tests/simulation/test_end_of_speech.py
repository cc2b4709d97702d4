"""The end of speech, found by the firmware in spoken commands with noise, at several levels."""

import json
import struct

import numpy as np
import pytest

from host_tools.audio import speech

RATE_HZ = 16000
#: A word ends where nothing is louder any more than this share of the peak, or than the noise.
AUDIBLE = 0.03
BEFORE_S, AFTER_S = 2.0, 3.0
COMMANDS = [
    ("turn on the light in the kitchen please", "en-gb-x-rp", 0.1),
    ("what is the weather in Hamburg tomorrow", "en-us+f3", 0.9),
    ("stop", "en-us", 0.3),
    ("set a timer for ten minutes", "en-us+f3", 0.1),
    ("play some music by Bach, and then wake me up at six", "en-us", 0.6),
]
SNRS_DB = [None, 30, 20, 10, 5]

#: Reads (slices until the wake word ends, chunks, PCM) again and again; prints for each recording
#: the chunk after which the speech was found to have ended, or -1, and whether there was any.
RUN = """
import struct, sys
import micropython
from satellite.end_of_speech import EndOfSpeech
from wakeword.frontend import Frontend

stream = sys.stdin.buffer
frontend = Frontend()
chunk, slice_ = bytearray(320), bytearray(40)


def run(wake, chunks):
    frontend.reset()
    endpoint = EndOfSpeech()
    ended = -1
    for i in range(chunks):
        stream.readinto(chunk)
        micropython.heap_lock()
        is_end = frontend.process(chunk, slice_) and i >= wake and endpoint.update(slice_)
        micropython.heap_unlock()
        if is_end and ended < 0:
            ended = i + 1
    print("[%d, %d]" % (ended, endpoint.heard_speech))


while True:
    header = stream.read(8)
    if len(header) < 8:
        break
    run(*struct.unpack("<II", header))
"""


def noise(samples, colour, rng):
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    if colour == "pink":
        spectrum /= np.sqrt(np.maximum(np.arange(spectrum.size), 1))
    return np.fft.irfft(spectrum, samples)


def recording(command, voice, gap_s, snr_db, colour, rng):
    """(int16 samples; seconds where the wake word ends; where the last word ends)."""
    word = speech.synthesise("okay naboo", voice).astype(float)
    said = speech.synthesise(command, voice).astype(float)
    parts = [speech.silence(BEFORE_S), word, speech.silence(gap_s), said, speech.silence(AFTER_S)]
    sound = np.concatenate(parts)
    clean = np.abs(sound)
    level = 0.0
    if snr_db is not None:
        added = noise(sound.size, colour, rng)
        level = np.sqrt(np.mean(said**2)) / 10 ** (snr_db / 20)
        sound = sound + added * level / np.sqrt(np.mean(added**2))
    audible = np.flatnonzero(clean > max(AUDIBLE * clean.max(), level))
    samples = np.clip(np.rint(sound), -32768, 32767).astype("<i2")
    return samples, BEFORE_S + word.size / RATE_HZ, (audible[-1] + 1) / RATE_HZ


def packed(samples, wake_s):
    chunks = samples.size // 160
    header = struct.pack("<II", int(wake_s * 100), chunks)
    return header + samples[: chunks * 160].tobytes()


def ends_found(run_micropython, recordings):
    """For each (samples, wake_s): the second in which the end was found, and heard_speech."""
    data = b"".join(packed(samples, wake_s) for samples, wake_s in recordings)
    lines = run_micropython(RUN, stdin=data).splitlines()
    assert len(lines) == len(recordings)
    found = [json.loads(line) for line in lines]
    return [(None if at < 0 else at / 100, bool(heard)) for at, heard in found]


@pytest.mark.parametrize("colour", ["white", "pink"])
def test_the_end_is_found_soon_after_the_last_word(run_micropython, colour):
    rng = np.random.default_rng(7)
    made = [
        (snr_db, command[0], *recording(*command, snr_db, colour, rng))
        for snr_db in SNRS_DB
        for command in COMMANDS
    ]
    found = ends_found(run_micropython, [(samples, wake_s) for *_, samples, wake_s, _ in made])
    for (snr_db, words, _, _, end_s), (at_s, heard) in zip(made, found, strict=True):
        assert heard, (snr_db, words)
        assert at_s is not None and 0.5 <= at_s - end_s <= 1.5, (snr_db, words, at_s, end_s)


def test_silence_and_noise_end_after_the_wait(run_micropython):
    rng = np.random.default_rng(8)
    quiet = np.zeros(RATE_HZ * 9, "<i2")
    hiss = (noise(quiet.size, "pink", rng) * 300).astype("<i2")
    hiss = np.clip(hiss, -3000, 3000).astype("<i2")
    for at_s, heard in ends_found(run_micropython, [(quiet, 2.0), (hiss, 2.0)]):
        assert not heard and at_s is not None and abs(at_s - 7.0) < 0.1, at_s
