"""The built-in engine: what it hears, and what ends it."""

import array
import asyncio
import sys

import pytest

from host_tools.answers import hearing, hearing_worker
from host_tools.answers.hearing import EngineHearing
from host_tools.audio import speech
from host_tools.errors import HostToolError
from host_tools.receiver.transcription import TranscriptionError

QUESTION = "what time is it"


def heard(*pieces):
    async def main():
        engine = EngineHearing()
        for piece in pieces:
            engine.hear(piece)
        engine.end()
        return await engine.text()

    return asyncio.run(main())


@pytest.fixture
def engine():
    pytest.importorskip("moonshine_cpp")


def test_it_hears_a_question_in_pieces_and_nothing_in_silence(engine):
    samples = speech.synthesise(QUESTION).tobytes()
    assert heard(samples[:10000], samples[10000:]) == "What time is it?"
    assert heard(bytes(3198)) == heard(bytes(64000)) == ""  # too short, and silent


@pytest.mark.parametrize(
    "before, words, after, start, end",
    [
        (16000, 8000, 24000, 13600, 26400),  # 150 ms on each side
        (960, 8000, 1000, -1440, 11360),  # made, where there is less
        (0, 8000, 0, -2400, 10400),
        (160, 7, 4, -2400, 171 + 2400),
    ],
)
def test_silence_around_the_words_is_cut_or_made(before, words, after, start, end):
    noise = [100, -100]
    loud = [(-1) ** n * 20000 for n in range(words)]
    whole = noise * (before // 2) + loud + noise * (after // 2)
    samples = array.array("h", whole)
    cut = hearing_worker.trimmed(samples).tolist()
    made = [0] * max(0, -start), [0] * max(0, end - len(samples))
    assert cut == made[0] + whole[max(0, start) : min(end, len(whole))] + made[1]


def test_what_is_all_silence_or_all_noise():
    assert len(hearing_worker.trimmed(array.array("h"))) == 4800
    assert not any(hearing_worker.trimmed(array.array("h", bytes(32000))))
    noise = array.array("h", [300, -32768] * 8000)
    assert hearing_worker.trimmed(noise)[2400:-2400] == noise


@pytest.fixture
def worker(tmp_path, monkeypatch):
    """Puts another program in the engine's place."""

    def write(body):
        path = tmp_path / "worker.py"
        path.write_text("import os, sys, time\n" + body)
        monkeypatch.setattr(hearing_worker, "__file__", str(path))

    return write


@pytest.mark.parametrize(
    "body, reason",
    [
        ("sys.exit('no model\\x1b[31m')", "the engine fails: no model"),
        ("os.abort()", "the engine fails: -6"),
        ("time.sleep(60)", "the engine takes too long"),
    ],
)
def test_an_engine_that_fails_is_told(worker, monkeypatch, body, reason):
    monkeypatch.setattr(hearing, "ANSWER_S", 0.5)
    worker(body)
    with pytest.raises(TranscriptionError, match=reason):
        heard(b"ab" * 1000)


def test_what_it_says_is_cleaned(worker):
    worker("print('turn on \\x1b[31m the\\nlight ' + str(len(sys.stdin.buffer.read())))")
    assert heard(b"ab" * 1000) == "turn on [31m the light 2000"


def test_audio_is_bounded(worker):
    worker("print(len(sys.stdin.buffer.read()))")
    assert heard(bytes(hearing.MAX_AUDIO_BYTES - 2), bytes(4), bytes(4)) == "960000"


def test_a_stream_that_broke_off_ends_its_process(worker, tmp_path):
    worker(f"open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(60)")

    async def main():
        engine = EngineHearing()
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            await asyncio.sleep(0.01)
        engine.cancel()
        with pytest.raises(asyncio.CancelledError):
            await engine.text()

    asyncio.run(main())
    with pytest.raises(ProcessLookupError):
        import os

        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_one_that_is_missing_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "moonshine_cpp", None)
    monkeypatch.setattr(hearing.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(HostToolError, match=r"moonshine-cpp is missing; .*earnest\[answers\]"):
        hearing.require_engine()


def test_so_many_recognise_at_a_time(worker, tmp_path):
    running = tmp_path / "running"
    running.mkdir()
    worker(
        f"sys.stdin.buffer.read(); at = {str(running)!r}; mine = f'{{at}}/{{os.getpid()}}'\n"
        "open(mine, 'w').close(); time.sleep(0.1); print(len(os.listdir(at))); os.remove(mine)"
    )

    async def main():
        turns = asyncio.Semaphore(2)
        engines = [EngineHearing(turns) for _ in range(5)]
        for engine in engines:
            engine.end()
        return [int(await engine.text()) for engine in engines]

    assert max(asyncio.run(main())) <= 2
