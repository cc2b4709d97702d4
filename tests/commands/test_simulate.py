"""`earnest simulate`: the firmware in MicroPython, exact, reproducible, patient with bad files."""

import json
import re

import numpy as np
import pytest
import soundfile

from host_tools import cli
from host_tools.audio import files as audio
from host_tools.audio import speech
from host_tools.models import catalog as model_files
from host_tools.models import reference as oracle
from host_tools.simulation import text, trace
from tests.fakes.simulated import wake_and_command

WORDS = "okay naboo"


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """A WAV with the wake word once, one second of silence around it."""
    path = tmp_path_factory.mktemp("recording") / "word.wav"
    audio.write(path, speech.pad(speech.synthesise(WORDS)))
    return path


@pytest.fixture
def simulate(capsys):
    """Runs `earnest simulate` here; returns (exit status, stdout, stderr)."""

    def run(*arguments):
        status = cli.run(["simulate", *map(str, arguments)])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


def test_every_value_equals_the_reference(simulate, recording, tmp_path):
    status, out, _ = simulate(recording, "--trace", tmp_path / "t.jsonl", "--trace-features")
    assert status == 0 and "okay_nabu heard" in out and "real-time factor" in out
    (run,) = trace.read(tmp_path / "t.jsonl")
    samples = audio.read(recording)
    tflite = model_files.known_models()["okay_nabu"].read_bytes()
    probabilities = oracle.probabilities(tflite, samples)
    assert [event["value"] for event in run.of("probability")] == probabilities.tolist()
    slices = oracle.quantise(oracle.features(samples))
    assert [event["values"] for event in run.of("features")] == slices.tolist()
    assert [e["t_ms"] for e in run.of("features")] == [30 + 10 * i for i in range(len(slices))]
    assert [e["slice"] for e in run.of("probability")] == list(range(2, len(slices), 3))
    times = [event["t_ms"] for event in run.events]
    assert times == sorted(times)
    (detection,) = run.of("detection")
    inferred = [e["value"] for e in run.of("probability") if e["t_ms"] <= detection["t_ms"]]
    assert detection["probability"] == sum(inferred[-5:]) // 5 and sum(inferred[-5:]) > 216 * 5
    assert sum(inferred[-6:-1]) <= 216 * 5
    assert run.of("end") == [
        {"t_ms": samples.size // 160 * 10, "event": "end", "samples": samples.size}
    ]


def test_the_same_input_and_seed_are_the_same_bytes(simulate, recording, tmp_path):
    effects = ["--noise-db", 12, "--noise", "pink", "--gain-db", -3, "--drop", "64@900"]
    texts = []
    for seed in (5, 5, 6):
        status, _, _ = simulate(
            recording, "--trace", tmp_path / "t", "--trace-features", "--seed", seed, *effects
        )
        assert status == 0
        texts.append((tmp_path / "t").read_bytes())
    assert texts[0] == texts[1] != texts[2]
    start = json.loads(texts[0].splitlines()[0])
    assert start["microphone"] == (
        "pink noise at 12 dB SNR (seed 5), gain -3 dB, 64 ms lost at 900 ms"
    )


def test_effects_reach_the_firmware(simulate, recording, tmp_path):
    simulate(recording, "--trace", tmp_path / "t", "--gain-db", -100, "--drop", "100@0")
    (run,) = trace.read(tmp_path / "t")
    assert run.of("detection") == []
    assert run.of("end")[0]["samples"] == audio.read(recording).size - 1600


def test_several_models_listen_at_once(simulate, recording, tmp_path):
    names = ["alexa", "okay_nabu", "hey_jarvis"]
    options = [option for name in names for option in ("--model", name)]
    status, out, _ = simulate(recording, *options, "--trace", tmp_path / "t")
    assert status == 0
    (run,) = trace.read(tmp_path / "t")
    assert run.models == names
    assert [event["model"] for event in run.of("detection")] == ["okay_nabu"]
    for name in names:
        tflite = model_files.known_models()[name].read_bytes()
        values = [e["value"] for e in run.of("probability") if e["model"] == name]
        assert values == oracle.probabilities(tflite, audio.read(recording)).tolist(), name


def test_json_is_json_alone(simulate, recording):
    status, out, err = simulate(recording, "--json")
    document = json.loads(out)
    assert status == 0 and err == "" and document["version"] == 1 and document["failed"] == []
    (file,) = document["files"]
    assert [d["model"] for d in file["detections"]] == ["okay_nabu"]
    assert file["models"]["okay_nabu"]["highest_mean"] > file["models"]["okay_nabu"]["cutoff"]
    assert file["samples"] == audio.read(recording).size and 0 < file["real_time_factor"]


def test_many_files_go_on_after_bad_ones(simulate, recording, tmp_path):
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "text.wav").write_text("no sound")
    data = recording.read_bytes()
    (tmp_path / "cut.wav").write_bytes(data[:-100])
    bad = [tmp_path / name for name in ("empty.wav", "text.wav", "cut.wav", "none.wav")]
    status, out, err = simulate(*bad[:2], recording, *bad[2:], "--json")
    document = json.loads(out)
    assert status == 2 and "Traceback" not in err
    assert [file["audio"] for file in document["files"]] == [recording.as_posix()]
    assert [file["audio"] for file in document["failed"]] == list(map(str, bad))
    assert err.count("error: ") == err.count("hint: ") == 4
    status, out, _ = simulate(recording, bad[0])
    assert status == 2 and "1 of 2 files simulated, 1 failed" in out


def test_damage_found_on_the_way_leaves_a_run_without_end(simulate, tmp_path):
    """A value that is not a number shows only when it is read."""
    noise = np.random.default_rng(0).standard_normal(16000 * 30) * 0.1
    noise[16000 * 22] = np.nan
    soundfile.write(tmp_path / "a.wav", noise, 16000, subtype="FLOAT")
    status, out, err = simulate(tmp_path / "a.wav", "--trace", tmp_path / "t")
    assert status == 2 and err.startswith("error: ")
    (run,) = trace.read(tmp_path / "t")
    assert run.of("end") == [] and run.of("probability")


def test_damage_that_decoding_finds_leaves_no_trace(simulate, tmp_path):
    noise = np.random.default_rng(0).standard_normal(16000 * 10) * 3000
    for name in ("a.flac", "a.mp3"):
        soundfile.write(tmp_path / name, noise.astype(np.int16), 16000)
        data = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(data[: len(data) * 3 // 4] + bytes(500))
        status, out, err = simulate(tmp_path / name, "--trace", tmp_path / "t")
        assert status == 2 and err.startswith("error: ")
        assert not (tmp_path / "t").exists() or (tmp_path / "t").read_bytes() == b""


def test_a_muted_run_says_that_it_was_muted(simulate, recording):
    status, out, _ = simulate(recording, "--muted")
    assert status == 0 and "muted for the whole run: the microphone was off" in out
    assert "too short" not in out and "no wake word heard" not in out
    assert f"sent nothing (0 of {audio.open_audio(recording).duration_s:.2f} s of audio)" in out


def test_the_summary_tells_the_scenario_in_order_of_time(simulate, recording, tmp_path):
    rows = [
        {"t_ms": 2800, "action": "network", "value": "down"},
        {"t_ms": 300, "action": "press"},
        {"t_ms": 600, "action": "press"},
    ]
    (tmp_path / "s.json").write_text(json.dumps(rows))
    status, out, _ = simulate(recording, "--scenario", tmp_path / "s.json")
    assert status == 0
    lines = [
        line.split("s  ", 1)[1] for line in out.splitlines() if re.match(r" +\d+\.\d\d s ", line)
    ]
    assert lines[:2] == ["scenario: mute button"] * 2
    assert lines[2].startswith("okay_nabu heard") and lines[3] == "scenario: network down"


def test_a_wake_word_with_nothing_after_it_is_told_so(simulate, tmp_path):
    audio.write(tmp_path / "a.wav", speech.pad(speech.synthesise(WORDS), after_s=3.0))
    status, out, _ = simulate(tmp_path / "a.wav")
    assert status == 0 and "nobody spoke after the wake word, so nothing was sent" in out
    assert "sent nothing (0 of" in out


def test_lost_samples_are_named_in_the_stream_that_they_belong_to(simulate, tmp_path):
    audio.write(tmp_path / "a.wav", wake_and_command())
    drops = ("--drop", "64@500", "--drop", "30@3600", "--drop", "20@3700")
    status, out, _ = simulate(tmp_path / "a.wav", *drops, "--json")
    (file,) = json.loads(out)["files"]
    (stream,) = file["streams"]
    assert stream["samples_from"] < 3600 * 16 < stream["samples_to"] and stream["lost_ms"] == 50
    status, out, _ = simulate(tmp_path / "a.wav", *drops)
    assert "50 ms of its audio were lost" in out


@pytest.mark.parametrize(
    "factor, words",
    [
        (0.01, "100 times faster than real time"),
        (0.7, "1.4 times faster than real time"),
        (0.99, "real time"),
        (1.5, "1.5 times slower than real time"),
    ],
)
def test_the_speed_is_told_as_it_was(factor, words):
    assert text.speed_text(factor) == words


@pytest.mark.parametrize("samples", [1, 159, 479, 480, 799, 800])
def test_short_audio_is_no_error(simulate, tmp_path, samples):
    audio.write(tmp_path / "a.wav", np.ones(samples, np.int16))
    status, out, err = simulate(
        tmp_path / "a.wav", "--trace", tmp_path / "t", "--plot", tmp_path / "p.png"
    )
    assert status == 0, err
    assert ("too short for one inference" in out) == (samples < 800)
    (run,) = trace.read(tmp_path / "t")
    assert len(run.of("probability")) == (samples >= 800)


@pytest.mark.parametrize(
    "options, words",
    [
        (["--model", "martian"], "no model 'martian'"),
        (["--model", "alexa", "--model", "alexa"], "share a name"),
        (["--model", "alexa"] * 9, "9 models are too many"),
        (["--trace", "/nonexistent/t"], "No such file"),
        (["--plot", "/nonexistent/p.png"], "no such folder"),
        (["--plot", "p.doc"], "unsupported image format"),
        (["--trace-features"], "add --trace"),
        (["--json", "--trace", "-"], "both write to stdout"),
        (["--drop", "5"], "MS@MS"),
        (["--gain-db", "500"], "out of range"),
    ],
)
def test_bad_options_are_refused_in_words(simulate, recording, options, words):
    status, out, err = simulate(recording, *options)
    assert status == 2 and out == "" and words in err and "hint: " in err


def test_plots_are_drawn_one_for_each_file(simulate, recording, tmp_path):
    status, _, _ = simulate(recording, recording, "--plot", tmp_path / "p.png")
    assert status == 0
    plots = sorted(path.name for path in tmp_path.iterdir())
    assert plots == ["p-1-word.png", "p-2-word.png"]
    first, second = ((tmp_path / name).read_bytes() for name in plots)
    assert first[:8] == b"\x89PNG\r\n\x1a\n" and first == second
    status, _, _ = simulate(
        recording, "--plot", tmp_path / "p.svg", "--model", "alexa", "--trace", tmp_path / "t"
    )
    assert trace.read(tmp_path / "t")[0].of("features") == []
    text = (tmp_path / "p.svg").read_text()
    assert status == 0 and "<svg" in text


def test_what_the_loudspeaker_says_is_written_beside_the_input(simulate, tmp_path):
    audio.write(tmp_path / "in.wav", np.concatenate([wake_and_command(), speech.silence(3.0)]))
    audio.write(tmp_path / "answer.wav", np.full(8000, 5000, np.int16))
    out = tmp_path / "heard.wav"
    options = ("--reply", tmp_path / "answer.wav", "--speaker", out, "--echo", "-6")
    status, text, _ = simulate(tmp_path / "in.wav", *options)
    assert status == 0 and "reply, 0.50 s of sound without its pauses (end)" in text
    assert str(out) in text and "the audio ended" not in text
    heard, rate = soundfile.read(out, dtype="int16")
    assert rate == 16000 and heard.size == audio.read(tmp_path / "in.wav").size
    assert set(heard.tolist()) == {0, (5000 * 11796 + 16384) >> 15}
    assert np.count_nonzero(heard) == 8000


@pytest.mark.parametrize("ends_s", (4.8, 5.7, 6.5))  # in the command, after it, in the answer
def test_audio_that_ends_before_the_answer_is_told_so(simulate, tmp_path, ends_s):
    audio.write(tmp_path / "answer.wav", np.full(32000, 5000, np.int16))
    audio.write(tmp_path / "in.wav", wake_and_command()[: round(ends_s * 16000)])
    status, text, _ = simulate(tmp_path / "in.wav", "--reply", tmp_path / "answer.wav")
    assert status == 0 and "the audio ended before the answer did" in text
    assert ("loudspeaker on" in text) == (ends_s == 6.5)
    _, text, _ = simulate(tmp_path / "in.wav")
    assert "sent the audio" in text and "answer" not in text, "nobody was to answer"


def test_a_board_without_a_loudspeaker_is_told_so(simulate, tmp_path):
    audio.write(tmp_path / "answer.wav", np.full(1600, 5000, np.int16))
    audio.write(tmp_path / "in.wav", np.concatenate([wake_and_command(), speech.silence(1.0)]))
    reply = ("--reply", tmp_path / "answer.wav", "--board")
    for board, is_told in (("ONJU_VOICE_V3", False), ("ESPRESSIF_S3_EYE", True)):
        status, text, _ = simulate(tmp_path / "in.wav", *reply, board)
        assert status == 0 and ("has no loudspeaker" in text) == is_told
        assert ("loudspeaker on" in text) == (not is_told)


@pytest.mark.parametrize(
    "options, words",
    (
        (("--speaker", "/no/such/folder/out.wav"), "no such folder"),
        (("--speaker", "out.mp3"), "out.mp3 would be a WAV file"),
        (("--answers",), "--answers needs a real receiver"),
        (("--answers", "--receiver", "--reply", "x"), "--answers does not go with --reply"),
        (("--reply", "/no/such/answer.wav"), "answer.wav"),
        (("--echo", "3"), "3"),
    ),
)
def test_bad_options_of_the_loudspeaker(simulate, recording, options, words):
    status, _, err = simulate(recording, *options)
    assert status == 2 and words in err


def test_a_host_without_native_emitter_gets_a_sentence(simulate, recording, monkeypatch):
    monkeypatch.setattr("host_tools.micropython.has_native_emitter", lambda: False)
    status, out, err = simulate(recording)
    assert status == 2 and "no native emitter" in err and out == ""
