"""Every example, unchanged, in the real MicroPython: it hears the word that is spoken, once."""

import re
import wave

import pytest

from host_tools import micropython
from host_tools.audio import speech
from host_tools.models.catalog import find_model
from host_tools.shared_firmware import ROOT

EXAMPLES = ROOT / "examples"
FAKES = ROOT / "tests" / "fakes"
ON_FAKES = ROOT / "tests" / "examples" / "on_fakes.py"
RATE_HZ = 16000
HEAP_BYTES = 400_000
#: Those with a microphone.
WIRED = {"i2s_loop", "two_words", "asyncio_loop", "button_led"}


@pytest.fixture(scope="module")
def spoken(tmp_path_factory):
    """A folder with okay_nabu.ewm, alexa.ewm, and speech: NAME.pcm and okay_nabu.wav."""
    folder = tmp_path_factory.mktemp("spoken")
    for name, words in (("okay_nabu", "okay nabu"), ("alexa", "Alexa"), ("other", "good morning")):
        sound = speech.pad(speech.synthesise(words), 0.3, 0.5).astype("<i2")
        (folder / f"{name}.pcm").write_bytes(sound.tobytes())
        if name != "other":
            (folder / f"{name}.ewm").write_bytes(find_model(name).path.read_bytes())
    both = (folder / "okay_nabu.pcm").read_bytes() + (folder / "alexa.pcm").read_bytes()
    (folder / "both.pcm").write_bytes(both)
    with wave.open(str(folder / "okay_nabu.wav"), "wb") as file:
        file.setparams((1, 2, RATE_HZ, 0, "NONE", ""))
        file.writeframes((folder / "okay_nabu.pcm").read_bytes())
    return folder


def run(script, *arguments):
    """The lines that a script prints.  The heap holds stand-ins and speech, too, in 64 bits."""
    done = micropython.run(
        script, *arguments, heap_bytes=HEAP_BYTES, timeout_s=60, folders=(FAKES,)
    )
    assert done.returncode == 0, (done.stdout + done.stderr).decode(errors="replace")
    return done.stdout.decode().splitlines()


@pytest.fixture
def on_fakes(native_emitter, spoken):
    """`on_fakes(example, sound, *press)` -> what it printed, its events, samples lost."""

    def play(example, sound, *press):
        lines = run(ON_FAKES, EXAMPLES / f"{example}.py", spoken, spoken / f"{sound}.pcm", *press)
        events = [line.split()[1:] for line in lines if line.startswith("event: ")]
        lost = int(lines[-1].removeprefix("lost: "))
        return [x for x in lines if not re.match("event: |lost: ", x)], events, lost

    return play


def test_a_file(native_emitter, spoken):
    lines = run(EXAMPLES / "wav_file.py", spoken / "okay_nabu.ewm", spoken / "okay_nabu.wav")
    assert len(lines) == 1 and re.fullmatch(r"1\.\d s: Okay Nabu", lines[0]), lines
    assert run(EXAMPLES / "wav_file.py", spoken / "alexa.ewm", spoken / "okay_nabu.wav") == []


@pytest.mark.parametrize("example", ("i2s_loop", "asyncio_loop"))
def test_one_word(on_fakes, example):
    said, events, lost = on_fakes(example, "okay_nabu")
    assert (said, events, lost) == (["yes?"], [["clock", "1"]], 0)
    assert on_fakes(example, "other")[0] == []


def test_two_words(on_fakes):
    said, _, lost = on_fakes("two_words", "both")
    assert [line.partition(",")[0] for line in said] == ["Okay Nabu", "Alexa"] and lost == 0
    assert all(85 <= int(re.search(r"(\d+) %", line)[1]) <= 100 for line in said), said


def test_a_button_and_an_led(on_fakes, spoken):
    samples = (spoken / "okay_nabu.pcm").stat().st_size // 2
    said, events, _ = on_fakes("button_led", "okay_nabu", 0, samples - 400)
    assert said == []
    # The pin of the button has no direction of its own to show but "in".
    assert [e for e in events if e[0] != "0"] == [
        *(["2", "0"], ["clock", "1"], ["2", "1"], ["clock", "0"], ["2", "0"]),
    ]


def test_the_button_alone_opens_the_microphone(on_fakes):
    """Never pressed: no clock, whatever is said."""
    said, events, _ = on_fakes("button_led", "okay_nabu", 0, 0)
    assert said == [] and ["clock", "1"] not in events


def test_the_program_that_the_documents_begin_with(native_emitter, spoken, tmp_path):
    """The first of docs/engine.md, which says that it has 15 lines at most."""
    source = (ROOT / "docs" / "engine.md").read_text().split("```python\n")[1].split("```")[0]
    assert len(source.splitlines()) <= 15
    for name, here in (("/lib/", f"{spoken}/"), ("recording.wav", f"{spoken}/okay_nabu.wav")):
        assert source.count(name) == 1
        source = source.replace(name, here)
    script = tmp_path / "program.py"
    script.write_text(source)
    assert run(script) == ["heard"]


def test_every_example_is_run_here():
    names = {path.stem for path in EXAMPLES.glob("*.py")}
    assert names == WIRED | {"wav_file"}
    lines = (EXAMPLES / "i2s_loop.py").read_text().splitlines()
    assert len(lines) <= 25, "the documents call it 25 lines"
