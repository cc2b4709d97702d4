"""`earnest demo`: someone talks in a room; the real firmware listens, sends, answers, is muted.

Makes speech with the wake word in it, runs the whole simulated device with a real receiver over
TLS that answers by itself, and prints on one time line what was said, done, heard, sent and
answered.  Audio, what the loudspeaker played, scenario, trace and plot stay in build/.
"""

from __future__ import annotations

import json
from pathlib import Path

import click
import numpy as np
from rich.console import Console

from host_tools import micropython
from host_tools.audio import files as audio
from host_tools.audio import speech
from host_tools.audio.files import Samples
from host_tools.errors import HostToolError
from host_tools.models.catalog import DEFAULT_MODEL, find_model
from host_tools.places import MADE
from host_tools.simulation import scenario, trace
from host_tools.simulation.events import Event
from host_tools.simulation.result import Result
from host_tools.simulation.runner import Settings, simulate
from host_tools.simulation.text import print_sent

WAKE_WORDS = "okay naboo"
QUESTION = "What time is it?"
#: How every answer to it begins.
ANSWER = "It is "
#: Who says what; None: somebody presses the mute button.
SCENE: list[str | None] = [
    "Good morning. The kettle is on.",
    WAKE_WORDS,
    QUESTION,
    "We talked about this last week, you and I.",
    None,
    WAKE_WORDS,
    QUESTION,
    "This is nobody's business.",
    None,
    "That is all.",
]
GAP_S = 0.6
#: Silence after what is said to the device, in which it notices that the speech is over and
#: answers, and between the wake word and what follows.
AFTER_COMMAND_S = 3.4
PRESS_S = 0.4
# A detection comes with the end of the word or shortly after it.
LATEST_S = 0.7

Spans = list[tuple[float, float, str]]


@click.command()
@click.option("--folder", type=Path, default=MADE, show_default=True, help="Write the files here.")
def command(folder: Path) -> int:
    """Simulate a conversation with the wake word in it, and draw what the device sent and said."""
    from host_tools.simulation import plot

    out = Console(highlight=False, markup=False, soft_wrap=True)
    micropython.require_native_emitter()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HostToolError(f"{folder}: {error.strerror}", "choose another --folder") from error
    out.print("1  making speech with espeak-ng")
    samples, spans, presses = scene()
    audio.write(folder / "demo.wav", samples)
    rows = [{"t_ms": t_ms, "action": "press"} for t_ms in presses]
    (folder / "demo-scenario.json").write_text(json.dumps(rows, indent=1) + "\n")
    out.print(f"2  converting the model {DEFAULT_MODEL}")
    model = find_model(DEFAULT_MODEL)
    out.print("3  starting a receiver with certificates of its own, which answers by itself")
    out.print("4  running the firmware in MicroPython\n")
    file = audio.open_audio(folder / "demo.wav")
    settings = Settings(
        (model,),
        with_features=True,
        scenario=scenario.check(rows),
        with_receiver=True,
        answers=True,
    )
    with open(folder / "demo.jsonl", "w", encoding="utf-8", newline="\n") as sink:

        def on_event(event: Event) -> None:
            if event["event"] != "features":
                sink.write(trace.line(event))

        result = simulate("demo.wav", file, settings, on_event)
    print_time_line(out, spans, result)
    result.played.write(folder / "demo-answer.wav", result.samples)
    title = (
        "Earnest sends what follows its wake word and answers it, and nothing while it is muted"
    )
    plot.draw(result, folder / "demo.png", tuple(spans), title)
    out.print(f"\nplot     {shown(folder / 'demo.png')}", style="bold")
    out.print(f"audio    {shown(folder / 'demo.wav')}")
    out.print(f"answer   {shown(folder / 'demo-answer.wav')}")
    out.print(f"trace    {shown(folder / 'demo.jsonl')}\n")
    print_sent(out, result)
    is_kept = print_promise(out, spans, result)
    return 0 if is_kept else 1


def scene() -> tuple[Samples, Spans, list[int]]:
    """Return the audio, (start, end, text) of each sentence in s, and the presses in ms."""
    parts = [speech.silence(GAP_S)]
    spans: Spans = []
    presses: list[int] = []
    length = parts[0].size
    for i, text in enumerate(SCENE):
        if text is None:
            presses.append(length // 160 * 10)
            added = [speech.silence(PRESS_S)]
        else:
            spoken = speech.synthesise(text)
            start_s = length / speech.SAMPLE_RATE_HZ
            spans.append((start_s, start_s + spoken.size / speech.SAMPLE_RATE_HZ, text))
            is_muted = SCENE[:i].count(None) % 2 == 1
            is_command = i > 0 and SCENE[i - 1] == WAKE_WORDS and not is_muted
            added = [spoken, speech.silence(AFTER_COMMAND_S if is_command else GAP_S)]
        parts += added
        length += sum(part.size for part in added)
    return np.concatenate(parts), spans, presses


def print_time_line(out: Console, spans: Spans, result: Result) -> None:
    """Print what was said, done, heard and shown, in order of time."""
    lines: list[tuple[float, str, str | None]] = [
        (start_s, f"said   {text}", None) for start_s, _, text in spans
    ]
    for event in result.events:
        at_s = event["t_ms"] / 1000
        if event["event"] == "detection":
            text = f"HEARD  {event['model']}, probability {event['probability'] / 255:.2f}"
            lines.append((at_s, text, "bold green"))
        elif event["event"] == "scenario":
            lines.append((at_s, "done   mute button pressed", "bold"))
        elif event["event"] == "light":
            text = f"light  {event['state']}, microphone {'on' if event['mic'] else 'off'}"
            lines.append((at_s, text, _LIGHT_STYLES.get(event["state"])))
    lines += [
        (once.start_ms / 1000, f"SAYS   {once.words}", "bold magenta") for once in result.spoken
    ]
    for at_s, text, style in sorted(lines, key=lambda line: line[0]):
        out.print(f"{at_s:7.2f} s  {text}", style=style)
    factor = result.real_time_factor
    out.print(
        f"\n{result.duration_s:.1f} s of audio in {result.wall_s:.2f} s: "
        f"real-time factor {factor:.3f}, {len(result.probabilities[0])} inferences"
    )


_LIGHT_STYLES = {"IDLE": "green", "STREAMING": "blue", "MUTED": "red", "SPEAKING": "white"}


def print_promise(out: Console, spans: Spans, result: Result) -> bool:
    """Print whether it heard what was said to it, sent that alone and answered it; return False
    if not."""
    is_heard = heard_as_said(spans, result)
    is_sent = sent_as_promised(result)
    if is_heard:
        out.print(
            "heard every wake word except those said while muted, and nothing else", style="green"
        )
    else:
        out.print("FAILED: what was heard is not what was said", style="bold red")
    if is_sent:
        out.print(
            "sent nothing before a wake word, after the end of speech, or while muted; "
            "the receiver has exactly what was sent",
            style="bold green",
        )
    else:
        out.print("FAILED: what was sent is not what was promised", style="bold red")
    is_answered = answered_as_asked(result)
    if is_answered:
        out.print(
            "answered what it was asked, aloud and whole, with its microphone off; nothing while "
            "muted",
            style="bold green",
        )
    else:
        out.print("FAILED: what it answered is not what it was asked", style="bold red")
    return is_heard and is_sent and is_answered


def heard_as_said(spans: Spans, result: Result) -> bool:
    """Return whether there is one detection for each wake word said while not muted, at its end,
    and none besides."""
    muted = muted_spans(result)
    said = [
        (start_s, end_s)
        for start_s, end_s, text in spans
        if text == WAKE_WORDS and not any(low <= start_s < high for low, high in muted)
    ]
    heard = [event["t_ms"] / 1000 for event in result.detections]
    return len(said) == len(heard) and all(
        start_s < at_s < end_s + LATEST_S
        for (start_s, end_s), at_s in zip(said, heard, strict=True)
    )


def sent_as_promised(result: Result) -> bool:
    """Return whether every sample sent was heard between a wake word and the end of its stream,
    none while muted, and the receiver has the same."""
    muted = muted_spans(result)
    for stream in result.streams.all:
        if stream.samples_from is None or stream.samples_to is None or stream.end_ms is None:
            continue
        start_s, end_s = stream.samples_from / 16000, stream.samples_to / 16000
        if start_s < stream.wake_ms / 1000 or end_s > stream.end_ms / 1000:
            return False
        if any(start_s < high and end_s > low for low, high in muted):
            return False
    return result.streams.are_as_received


def answered_as_asked(result: Result) -> bool:
    """Return whether it answered each wake, with the time and to the end, and said nothing else;
    and its microphone was off meanwhile."""
    spoken = result.spoken
    quiet = [
        (off["t_ms"], on["t_ms"])
        for off, on in zip(result.microphone, result.microphone[1:], strict=False)
        if not off["on"]
    ]
    return len(spoken) == len(result.detections) and all(
        once.reason == "end"
        and (once.words or "").startswith(ANSWER)
        and any(off <= once.start_ms and once.end_ms <= on for off, on in quiet)
        for once in spoken
    )


def muted_spans(result: Result) -> list[tuple[float, float]]:
    """Return when the person at the button wanted it muted: from press to press, in s."""
    presses = [event["t_ms"] / 1000 for event in result.scenario]
    return list(zip(presses[::2], [*presses[1::2], float("inf")], strict=False))


def shown(path: Path) -> str:
    """Return a path, relative to the current folder where it can be."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
