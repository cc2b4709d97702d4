"""A simulated device for tests: sound and script in, a result with all its events out."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from host_tools.audio import files as audio
from host_tools.audio import speech
from host_tools.models.catalog import find_model
from host_tools.simulation import runner, scenario
from host_tools.simulation.result import Result
from host_tools.simulation.runner import Settings

WORDS = "okay naboo"
#: How much from before the speech is sent, see gate.Gate.
HOLD_MS = 300
#: How long the microphone stays off after the loudspeaker.
REST_MS = 200
COMMAND = "Turn on the light in the kitchen, please."


@lru_cache(maxsize=1)
def wake_and_command() -> np.ndarray:
    """6.5 s: silence, the wake word from 0.8 s on, a command from 2.2 to 4.8 s, silence."""
    samples = np.zeros(104000, np.int16)
    for at_s, words in ((0.8, WORDS), (2.2, COMMAND)):
        spoken = speech.synthesise(words)
        at = round(at_s * 16000)
        samples[at : at + spoken.size] = spoken
    return samples


def sound(*parts: np.ndarray) -> np.ndarray:
    return np.concatenate(parts)


def silence(seconds: float) -> np.ndarray:
    return speech.silence(seconds)


def simulate(tmp_path, samples: np.ndarray, rows=(), checked=True, **settings) -> Result:
    """Run the device on the samples with the scenario `rows`: (t_ms, action) or with a value.

    `checked`: False for a firmware that breaks its promises.
    """
    path = tmp_path / "sound.wav"
    audio.write(path, samples)
    events = [dict(zip(("t_ms", "action", "value"), row, strict=False)) for row in rows]
    models = (find_model("okay_nabu"),)
    result = runner.simulate(
        "sound.wav",
        audio.open_audio(path),
        Settings(models, scenario=scenario.check(events), **settings),
    )
    if checked:
        check_promises(result)
        check_speaker(result)
    return result


def check_promises(result: Result) -> None:
    """What must hold in every simulation, whatever happens; the trace alone is asked."""
    mic_on = False
    light = ("NOT_READY", False)
    state = "NOT_READY"
    may_send = False
    is_held = True
    has_consent = False
    muted_since_ms = None
    for event in result.events:
        kind = event["event"]
        if kind == "light":
            light = (event["state"], event["mic"])
            r, g, b = event["rgb"]
            if mic_on and event["state"] != "FAILED":
                assert (r, g, b) != (0, 0, 0), ("dark while the microphone is on", event)
                assert not (r and not g and not b), ("red while the microphone is on", event)
            if event["state"] == "MUTED" and not event["mic"]:
                assert not mic_on, ("muted is shown before the microphone is off", event)
        elif kind == "mic":
            mic_on = event["on"]
            if mic_on:
                assert light == (state, True), ("the light comes before the microphone", light)
                assert state in ("IDLE", "STREAMING"), state
        elif kind == "state":
            assert event["from"] == state, event
            state = event["to"]
            is_held = state == "STREAMING"
            may_send = has_consent = False
            muted_since_ms = event["t_ms"] if state == "MUTED" else None
        elif kind == "speech":
            assert state == "STREAMING", event
            is_held = False
        elif kind == "message" and event["type"] == "consent":
            assert not is_held, ("opened before anybody spoke", event)
            assert light == ("STREAMING", True), ("the light comes before the first byte", light)
            has_consent = True
        elif kind == "message" and event["type"] == "audio-start":
            assert state == "STREAMING" and has_consent, ("audio without consent", event)
            may_send = True
        elif kind == "sent":
            assert state == "STREAMING" and may_send, ("sent outside of a stream", event)
            assert light == ("STREAMING", True), ("sent before the light said so", event, light)
            assert mic_on
        elif kind == "power":
            mic_on, state, light = False, "NOT_READY", ("NOT_READY", False)
            may_send = has_consent = False
        # 20 ms: the chunk that is being read, and the switching off.
        if muted_since_ms is not None and mic_on and not _is_stuck(result):
            assert event["t_ms"] <= muted_since_ms + 20, ("on while muted", event)
    assert result.streams.stray_bytes == 0
    for stream in result.streams.all:
        assert stream.is_contiguous, stream
        if stream.samples_from is not None:
            assert stream.samples_from == first_sample(result, stream), stream
            assert stream.samples_to <= stream.end_ms * 16, stream
            assert stream.first_byte_after_ms is not None and stream.first_byte_after_ms <= 40


def check_speaker(result: Result) -> None:
    """What must hold of the loudspeaker in every simulation; the trace alone is asked."""
    mic_on = speaker_on = is_recorded = False
    rest_until_ms = 0
    light = ("NOT_READY", False)
    state = "NOT_READY"
    for event in result.events:
        kind = event["event"]
        if kind == "light":
            light = (event["state"], event["mic"])
            if speaker_on and event["state"] != "FAILED":
                assert event["rgb"] != [0, 0, 0], ("dark while the amplifier is on", event)
        elif kind == "mic":
            mic_on = event["on"]
            assert not (mic_on and speaker_on), ("both on", event)
            assert not mic_on or event["t_ms"] >= rest_until_ms, ("too early", event)
        elif kind == "speaker":
            speaker_on = event["on"]
            if speaker_on:
                assert not mic_on, ("both on", event)
                assert light == ("SPEAKING", False), ("the light comes before the sound", light)
                assert is_recorded, ("the record comes before the sound", event)
                assert state == "IDLE", state
            else:
                rest_until_ms = event["t_ms"] + REST_MS
        elif kind == "sound":
            assert speaker_on, ("a sound, and the amplifier is off", event)
        elif kind == "audit" and event["kind"] in ("speak-start", "speak-end"):
            is_recorded = event["kind"] == "speak-start"
        elif kind == "state":
            state = event["to"]
        elif kind == "power":
            mic_on = speaker_on = is_recorded = False
            light, state = ("NOT_READY", False), "NOT_READY"
            rest_until_ms = 0


def first_sample(result: Result, stream) -> int:
    """Which sample a stream must begin with, by its speech and the audit log's pre-roll."""
    starts = [e for e in result.of("audit") if e["kind"] == "stream-start"]
    preroll_ms = starts[0]["preroll_ms"]
    speech_ms = speech_of(result, stream)["t_ms"]
    return 16 * max(stream.wake_ms - preroll_ms, speech_ms - HOLD_MS - preroll_ms)


def speech_of(result: Result, stream) -> dict:
    """The event with which somebody spoke in a stream."""
    return next(e for e in result.of("speech") if e["t_ms"] > stream.wake_ms)


def _is_stuck(result: Result) -> bool:
    return any(event["action"] == "microphone-stuck" for event in result.scenario)


def records(result: Result, kind: str) -> list[dict]:
    """The audit records of a kind, as their fields without the time."""
    return [
        {key: value for key, value in event.items() if key not in ("t_ms", "event", "kind")}
        for event in result.of("audit")
        if event["kind"] == kind
    ]


def states(result: Result) -> list[tuple[int, str, str]]:
    """(t_ms, state, reason) of every change."""
    return [(event["t_ms"], event["to"], event["reason"]) for event in result.of("state")]
