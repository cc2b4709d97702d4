"""A whole conversation: the device in MicroPython, `earnest receive` in a process, TLS between.

The wake word, the command as a stream, the reply as sound; what either side says of it is laid
beside what the other did, sample for sample.
"""

import hashlib

import numpy as np

from host_tools.xtensa.speaker_cost import scaled
from tests.fakes.simulated import simulate
from tests.simulation.test_speaker import answer, command, gain_q15, heard, wav_of


def talk(tmp_path, samples):
    return simulate(tmp_path, samples, reply=answer(), with_receiver=True, config={"volume": 40})


def what_happened(result):
    """What a person and the receiver notice of it."""
    return (
        [event["t_ms"] for event in result.detections],
        [(s.samples_from, s.samples_to, s.sha256, s.reason) for s in result.streams.all],
        [(event["t_ms"], event["on"]) for event in result.microphone],
        [(once.start_ms, once.end_ms, once.sound_ms, once.reason) for once in result.spoken],
        result.sounds,
    )


def test_a_conversation_and_its_echo(tmp_path):
    result = talk(tmp_path, command())
    assert result.streams.are_as_received and result.streams.bytes > 32000
    assert result.wake_words == ["okay_nabu"]
    # What was sent is what sounded, at the volume set; the receiver knows how much of it did.
    _, played = heard(result, tmp_path / "out.wav")
    assert np.array_equal(played, scaled(answer(), gain_q15(40)))
    digest = hashlib.sha256(answer().tobytes()).hexdigest()
    told = {"kind": "reply", "samples": 16000, "sha256": digest, "ms": 1000, "why": "end"}
    assert result.sounds == [told]
    # The command has ended before the loudspeaker is on; then the microphone is off.
    (once,) = result.spoken
    off, on = [e["t_ms"] for e in result.microphone if e["t_ms"] > 1000]
    assert result.streams.all[0].end_ms <= off <= once.start_ms
    assert once.end_ms + 200 <= on
    # The loudspeaker's file in the room, with the command: it changes nothing.
    out = wav_of(result, tmp_path / "out.wav")
    room = np.clip(command().astype(int) + out, -32768, 32767).astype(np.int16)
    assert not np.array_equal(room, command())
    assert what_happened(talk(tmp_path, room)) == what_happened(result)
