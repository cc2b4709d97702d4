"""What a simulation found, as lines for people: detections, the scenario, what was sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from host_tools.simulation.events import ScenarioEvent
from host_tools.simulation.result import Peak, Result
from host_tools.simulation.speaker import Spoken

if TYPE_CHECKING:
    from rich.console import Console

_NEVER_ON = {
    "MUTED": "muted for the whole run: the microphone was off",
    "ERROR": "a fault kept the microphone off",
    "NOT_READY": "the device was never ready: the microphone was off",
}
#: From here on a factor is printed without decimals.
_LARGE_FACTOR = 10
_MAX_CABLE_CHARACTERS = 40
#: A simulated answer begins within this time of the end of its stream.
_ANSWER_WITHIN_MS = 500


def print_result(out: Console, result: Result) -> None:
    """Print what happened, in order of time, then each model's peak and what was sent."""
    notes = f", {', '.join(result.notes)}" if result.notes else ""
    out.print(f"{result.audio}  ({result.duration_s:.2f} s{notes})", style="bold")
    lines: list[tuple[int, str, str | None]] = [
        (e["t_ms"], f"{e['model']} heard, probability {e['probability'] / 255:.2f}", "green")
        for e in result.detections
    ]
    lines += [(e["t_ms"], f"scenario: {action_text(e)}", None) for e in result.scenario]
    lines += [(once.start_ms, spoken_text(once), "magenta") for once in result.spoken]
    for t_ms, text, style in sorted(lines, key=lambda line: line[0]):
        out.print(f"{t_ms / 1000:8.2f} s  {text}", style=style)
    if not was_listening(result):
        text = _NEVER_ON.get(result.last_state, _NEVER_ON["NOT_READY"])
        out.print(f"            {text}", style="red")
    elif not result.detections:
        out.print("            no wake word heard", style="yellow")
    for name, peak in result.peaks():
        out.print(f"  {name}: {_peak_text(peak, was_listening(result))}")
    print_sent(out, result)
    factor = result.real_time_factor
    out.print(
        f"  took {result.wall_s:.2f} s, real-time factor {factor:.3f} ({speed_text(factor)})"
    )


def print_sent(out: Console, result: Result) -> None:
    """Print each stream, from second to second, and how much of the audio was sent in all."""
    for stream in result.streams.all:
        wake_s = stream.wake_ms / 1000
        if not stream.samples:
            out.print(f"{wake_s:8.2f} s  {nothing_sent_text(stream.reason)}")
            continue
        assert stream.samples_from is not None and stream.samples_to is not None
        text = (
            f"{wake_s:8.2f} s  sent the audio from {stream.samples_from / 16000:.2f} s to "
            f"{stream.samples_to / 16000:.2f} s: {stream.bytes} bytes ({stream.reason})"
        )
        if result.has_receiver:
            text += ", received the same" if stream.is_as_received else ", NOT received as sent"
        out.print(text, style="cyan" if stream.is_as_received else "bold red")
        if stream.lost_ms:
            out.print(f"            {stream.lost_ms} ms of its audio were lost", style="yellow")
        if result.has_receiver and stream.received is not None:
            got = stream.received
            out.print(f"            receiver: {got['samples']} samples, SHA-256 {got['sha256']}")
    for words in result.transcripts:
        out.print(f"  receiver: understood “{words}”")
    for sound in result.sounds:
        out.print(
            f"  receiver: sent a {sound['kind']} of {sound['samples'] / 16000:.2f} s, "
            f"{sound['ms'] / 1000:.2f} s of it were played ({sound['why']})"
        )
    sent_s = sum(stream.samples for stream in result.streams.all) / 16000
    whole = f"of {result.duration_s:.2f} s of audio"
    if sent_s:
        out.print(f"  sent {sent_s:.2f} s {whole}, {result.streams.bytes} bytes")
    else:
        out.print(f"  sent nothing (0 {whole})")


def nothing_sent_text(reason: str | None) -> str:
    """Return why a stream sent nothing."""
    if reason == "no-speech":
        return "nobody spoke after the wake word, so nothing was sent (no-speech)"
    return f"stream opened, nothing sent ({reason})"


def spoken_text(once: Spoken) -> str:
    """Return what the loudspeaker did once, as text."""
    what = once.what or "sound"
    if once.words:
        what += f" “{once.words}”"
    reason = f" ({once.reason})" if once.reason else ""
    return (
        f"loudspeaker on until {once.end_ms / 1000:.2f} s: {what}, "
        f"{once.sound_ms / 1000:.2f} s of sound without its pauses{reason}"
    )


def missing_answer_text(result: Result) -> str | None:
    """Return what to do when the audio ended before an answer to its last stream did, or None."""
    sent = [stream for stream in result.streams.all if stream.samples]
    if not sent:
        return None
    last, end_ms = sent[-1], result.samples // 16
    spoken = [once for once in result.spoken if once.start_ms > last.wake_ms]
    if spoken:
        is_cut = spoken[-1].reason is None
    else:
        is_cut = last.end_ms is None or last.end_ms + _ANSWER_WITHIN_MS > end_ms
    if not is_cut:
        return None
    return "the audio ended before the answer did: it needs some seconds of quiet at the end"


def was_listening(result: Result) -> bool:
    """Return whether the microphone was on at any time."""
    return any(event["on"] for event in result.microphone)


def speed_text(factor: float) -> str:
    """Return how fast a run was, from its real-time factor."""
    if 0.95 <= factor <= 1.05:
        return "real time"
    times, word = (1 / factor, "faster") if factor < 1 else (factor, "slower")
    digits = 0 if times >= _LARGE_FACTOR else 1
    return f"{times:.{digits}f} times {word} than real time"


def action_text(event: ScenarioEvent) -> str:
    """Return what somebody did, as text."""
    action, value = event["action"], event["value"]
    if action == "press":
        return "mute button"
    if action == "speak":
        return f"receiver wants to say: {value}"
    if action == "speak-stop":
        return "receiver ends the sound"
    if action == "chime":
        return f"receiver asks for a chime: {value}"
    if action == "volume":
        return f"receiver sets the volume: {value} %"
    if action == "request":
        return f"receiver asks: {value}"
    if action == "power-loss":
        return "power cut"
    if action == "cable":
        return f"cable: {str(value)[:_MAX_CABLE_CHARACTERS]!r}"
    if isinstance(value, bool):
        return action.replace("-", " ") + ("" if value else ": over")
    return f"{action} {value}"


def _peak_text(peak: Peak, is_listening: bool) -> str:
    if peak.highest_mean is None or peak.highest_mean_t_ms is None:
        return "too short for one inference" if is_listening else "no inference"
    return (
        f"{peak.inferences} inferences, highest mean {peak.highest_mean / 255:.2f} at "
        f"{peak.highest_mean_t_ms / 1000:.2f} s (cutoff {peak.cutoff / 255:.2f})"
    )
