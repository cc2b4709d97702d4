"""How well the built-in engine and the built-in sentences understand synthetic speech, by voice.

    .venv/bin/python tests/long/heard_commands.py

Each command is said by each voice, at two speeds, passes through the engine as a stream does, and
is matched with the sentences.  "right" is the wanted intent with the wanted slots, "wrong" another
intent or other slots: something that nobody asked for.  About two minutes a voice.
"""

from __future__ import annotations

import asyncio
import sys
import time

from host_tools.answers import sentences
from host_tools.answers.hearing import EngineHearing
from host_tools.answers.intents import Intent, Recogniser
from host_tools.audio import speech

VOICES = ("en-us", "en-us+f2", "en-us+f3", "en-us+f4", "en-us+m3", "en-us+m7", "en-gb-x-rp")
SPEEDS = (140, 170)
TIMER, STATUS, CANCEL = sentences.START_TIMER, sentences.TIMER_STATUS, sentences.CANCEL_TIMER
COMMANDS = {
    "what time is it": Intent(sentences.GET_TIME),
    "what is the time": Intent(sentences.GET_TIME),
    "what is the date": Intent(sentences.GET_DATE),
    "set a timer for five minutes": Intent(TIMER, {"minutes": 5}),
    "set a timer for ten seconds": Intent(TIMER, {"seconds": 10}),
    "set a timer for an hour": Intent(TIMER, {"hours": 1}),
    "set an egg timer for three minutes": Intent(TIMER, {"name": "egg", "minutes": 3}),
    "set a pizza timer for ten minutes": Intent(TIMER, {"name": "pizza", "minutes": 10}),
    "how much time is left": Intent(STATUS),
    "how long is left on the timer": Intent(STATUS),
    "cancel the timer": Intent(CANCEL),
    "cancel all timers": Intent(sentences.CANCEL_ALL_TIMERS),
    "set the volume to forty percent": Intent(sentences.SET_VOLUME, {"percent": 40}),
    "turn the volume down": Intent(sentences.CHANGE_VOLUME, {"step": -10}),
    "stop": Intent(sentences.STOP),
    "never mind": Intent(sentences.NEVER_MIND),
}
OTHER_TALK = (
    "the kettle is on and we talked about this last week",
    "good morning, did you sleep well",
    "turn on the light in the kitchen",
    "we should call your mother on Sunday",
    "how was the film",
    "this is nobody's business",
)


async def hear(text: str, voice: str, words_per_minute: int) -> tuple[str, float]:
    """The words, and the seconds from the end of the audio to them."""
    samples = speech.pad(speech.synthesise(text, voice, words_per_minute), 0.2, 0.8)
    engine = EngineHearing()
    await asyncio.sleep(1.0)  # somebody speaks; the model is loaded meanwhile
    engine.hear(samples.tobytes())
    ended_s = time.monotonic()
    engine.end()
    return await engine.text(), time.monotonic() - ended_s


def main(voices: tuple[str, ...]) -> None:
    recogniser = Recogniser()
    times_s = []
    by_command = dict.fromkeys(COMMANDS, 0)
    print("voice         right  wrong  not understood   other talk taken for a command")
    for voice in voices:
        right = wrong = lost = taken = 0
        for speed in SPEEDS:
            for text, wanted in COMMANDS.items():
                words, took_s = asyncio.run(hear(text, voice, speed))
                times_s.append(took_s)
                intent = recogniser.recognise(words)
                right += intent == wanted
                by_command[text] += intent == wanted
                lost += intent is None
                wrong += intent is not None and intent != wanted
                if intent != wanted:
                    print(f"    {voice} at {speed}: {text!r} -> {words!r}", file=sys.stderr)
            for text in OTHER_TALK:
                words, _ = asyncio.run(hear(text, voice, speed))
                taken += recogniser.recognise(words) is not None
        total, others = len(SPEEDS) * len(COMMANDS), len(SPEEDS) * len(OTHER_TALK)
        print(f"{voice:12} {right:3}/{total} {wrong:6} {lost:10} {taken:13}/{others}", flush=True)
    for text, count in by_command.items():
        print(f"{count:4}/{len(SPEEDS) * len(voices)}  {text}")
    times_s.sort()
    print(f"words {times_s[len(times_s) // 2]:.2f} s after the end, at most {times_s[-1]:.2f} s")


if __name__ == "__main__":
    main(tuple(sys.argv[1:]) or VOICES)
