"""Make synthetic recordings for `earnest evaluate`: the four wake words, and talk without them.

    .venv/bin/python tests/long/detection_data.py --minutes 60

writes build/detection/WORD/*.wav (positives, one word each) and build/detection/talk/*.wav. All
of it is espeak-ng with noise at random levels: good for comparing settings, no measure of how a
model does with people. The same arguments make the same files, but for the breath of the voices
+f2 and +f3.
"""

from __future__ import annotations

import argparse
import itertools

import numpy as np

from host_tools.audio import files, speech
from host_tools.shared_firmware import ROOT

FOLDER = ROOT / "build" / "detection"
SAID = {
    "okay_nabu": "okay naboo",
    "alexa": "alexa",
    "hey_jarvis": "hey jarvis",
    "hey_mycroft": "hey mycroft",
}
VOICES = [
    f"{language}{variant}"
    for language in ("en-us", "en-gb-x-rp", "en-gb-scotland", "en-gb-x-gbclan", "en-029")
    for variant in ("", "+f2", "+f3", "+f4", "+m2", "+m3", "+m5", "+m7")
]
SPEEDS = (125, 150)
SNR_DB = (40, 20, 10)
WHO = "the neighbour|my sister|Alexis|Jarvis|Michael|Naomi|a lecturer|Mike Croft|the boss|nobody"
DOES = "wants|forgot|mentioned|cancelled|always likes|elected|is looking for|never wrote|ordered"
WHAT = "okay now|a new boot|the Lexus|an election|some coffee|the weather|her service|the harvest"
WHERE = "at the market|in the kitchen|on Monday|a lexicon ago|hey you|over the microphone|later"


def with_noise(clean: np.ndarray, snr_db: float, rng: np.random.Generator) -> np.ndarray:
    """Return int16 speech at a random level with white noise under it."""
    level = 10 ** rng.uniform(-1, 0)
    sound = clean * level
    spoken = sound[np.abs(sound) > 50]
    rms = float(np.sqrt(np.mean(np.square(spoken)))) if spoken.size else 100.0
    noise = rng.standard_normal(len(sound)) * rms / 10 ** (snr_db / 20)
    return np.clip(np.rint(sound + noise), -32768, 32767).astype(np.int16)


def write_positives(rng: np.random.Generator) -> None:
    for name, said in SAID.items():
        folder = FOLDER / name
        folder.mkdir(parents=True, exist_ok=True)
        for i, (voice, speed) in enumerate(itertools.product(VOICES, SPEEDS)):
            word = speech.pad(speech.synthesise(said, voice, speed), 1.0, 0.3)
            files.write(folder / f"{i:03}.wav", with_noise(word, SNR_DB[i % 3], rng))


def sentence(rng: np.random.Generator) -> str:
    return " ".join(str(rng.choice(part.split("|"))) for part in (WHO, DOES, WHAT, WHERE)) + "."


def write_talk(minutes: float, rng: np.random.Generator) -> None:
    folder = FOLDER / "talk"
    folder.mkdir(parents=True, exist_ok=True)
    samples, i = 0, 0
    while samples < minutes * 60 * files.SAMPLE_RATE_HZ:
        text = " ".join(sentence(rng) for _ in range(12))
        voice, speed = str(rng.choice(VOICES)), int(rng.integers(120, 190))
        talk = speech.pad(speech.synthesise(text, voice, speed), 0.5, 0.5)
        files.write(folder / f"{i:04}.wav", with_noise(talk, float(rng.choice(SNR_DB)), rng))
        samples, i = samples + len(talk), i + 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60, help="of talk")
    arguments = parser.parse_args()
    rng = np.random.default_rng(1)
    write_positives(rng)
    write_talk(arguments.minutes, rng)


if __name__ == "__main__":
    main()
