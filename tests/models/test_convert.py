"""`earnest convert` and `earnest models`: manifests, refusals by name, files, exit status."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import re
import struct

import pytest
from click.testing import CliRunner

from firmware.wakeword import model_format as fmt
from host_tools import micropython
from host_tools.commands import convert as convert_command
from host_tools.commands import models
from host_tools.errors import HostToolError
from host_tools.models import verify
from host_tools.models import verify as verifying
from host_tools.models.build import convert_model
from host_tools.models.catalog import known_models, read_manifest
from host_tools.models.manifest import Manifest
from host_tools.models.tflite_writer import FLOAT32, INT8, Op, write_model
from host_tools.shared_firmware import ROOT
from tests.generators.model_ranges import get
from tests.generators.random_models import random_graphs, random_model

MANIFEST = {
    "type": "micro",
    "wake_word": "Hello",
    "version": 2,
    "micro": {"probability_cutoff": 0.9, "sliding_window_size": 5, "feature_step_size": 10},
}


# --- the manifest ----------------------------------------------------------------------------


def manifest_with(field: str, value: object) -> dict:
    """MANIFEST with one field set, `micro.x` for one of the inner ones; ... removes it."""
    manifest = copy.deepcopy(MANIFEST)
    inner = manifest
    for part in field.split(".")[:-1]:
        inner = inner[part]
    name = field.split(".")[-1]
    if value is ...:
        del inner[name]
    else:
        inner[name] = value
    return manifest


REFUSED = {
    "type": [..., "openWakeWord", None, 1, [], {}],
    "version": [..., True, 0, 3, "2", None, 2.5],
    "wake_word": [..., "", "x" * 65, "ü" * 33, "a\nb", "a\0", None, 7, "\ud800", "\x7f", ["a"]],
    "micro": [..., None, [], "x", 1],
    "micro.probability_cutoff": [..., None, "0.9", -0.01, 1.01, True, float("nan"), 10**400],
    "micro.sliding_window_size": [..., None, 0, -1, 256, 5.0, "5", True, 10**400],
    "micro.feature_step_size": [20, 0, None, "10"],
}


@pytest.mark.parametrize("field", REFUSED)
def test_a_wrong_field_is_named_with_its_value_and_what_is_allowed(field):
    for value in REFUSED[field]:
        with pytest.raises(HostToolError) as caught:
            Manifest.from_json(manifest_with(field, value))
        assert field.split(".")[-1] in caught.value.message, value
        if field != "micro":
            shown = repr(None if value is ... else value)
            assert f"{field} is {shown}; allowed: " in caught.value.message
        caught.value.message.encode("utf-8", "backslashreplace")


@pytest.mark.parametrize("manifest", (None, [], 3, "micro", {}, {"type": "micro"}))
def test_what_is_not_a_manifest(manifest):
    with pytest.raises(HostToolError, match="no `micro` section"):
        Manifest.from_json(manifest)


def test_allowed_values_at_their_limits():
    for field, value, attribute, want in (
        ("wake_word", "x" * 64, "wake_word", "x" * 64),
        ("wake_word", "ü" * 32, "wake_word", "ü" * 32),
        ("micro.probability_cutoff", 0, "cutoff", 0),
        ("micro.probability_cutoff", 1, "cutoff", 255),
        ("micro.probability_cutoff", 0.85, "cutoff", 216),
        ("micro.probability_cutoff", 0.97, "cutoff", 247),
        ("micro.probability_cutoff", 0.9999, "cutoff", 254),
        ("micro.sliding_window_size", 1, "sliding_window_size", 1),
        ("micro.sliding_window_size", 255, "sliding_window_size", 255),
        ("micro.feature_step_size", ..., "sliding_window_size", 5),
    ):
        got = Manifest.from_json(manifest_with(field, value))
        assert getattr(got, attribute) == want


def test_the_file_says_what_the_manifest_says():
    source = random_model(1)[0]
    converted = convert_model(source, MANIFEST)
    data = converted.data
    assert 0 < converted.headroom_bits < 1, "the proof counts from an offset of 2**30"
    header, ops = fmt.check(data)
    assert header.wake_word == "Hello"
    assert (header.probability_cutoff, header.sliding_window_size) == (229, 5)
    assert header.source_sha256 == hashlib.sha256(source).digest()
    assert (header.stride, header.op_count) == (2, len(ops))
    assert convert_model(source, MANIFEST).data == data, "the same on every run"


def test_arena_ends_where_the_last_thing_that_is_touched_does():
    """RAM is not wasted: an arena 12 bytes smaller is refused for any model."""
    for seed in range(20):
        data = convert_model(random_model(seed)[0], MANIFEST).data
        smaller = bytearray(data)
        struct.pack_into("<I", smaller, 48, get(data, "arena_bytes") - 12)
        struct.pack_into("<I", smaller, 12, fmt.crc32(smaller))
        with pytest.raises(fmt.ModelFormatError):
            fmt.check(smaller)


FIRST_GENERATION_MANIFEST = {
    "type": "micro",
    "wake_word": "Hello",
    "version": 1,
    "micro": {"probability_cutoff": 0.66, "sliding_window_average_size": 10},
}


def test_version_1_with_the_fields_of_version_2_is_read_with_a_note():
    got = Manifest.from_json(manifest_with("version", 1))
    assert (got.cutoff, got.sliding_window_size) == (229, 5)
    assert got.notes == ("the manifest says version 1 and has the fields of version 2; read as 2",)
    assert Manifest.from_json(MANIFEST).notes == ()
    with pytest.raises(HostToolError, match="a manifest of version 1") as caught:
        Manifest.from_json(FIRST_GENERATION_MANIFEST)
    assert "rename sliding_window_average_size to sliding_window_size" in caught.value.hint


def test_unusual_values_get_a_note():
    for field, value, text in (
        ("micro.probability_cutoff", 1.0, "can never be exceeded"),
        ("micro.probability_cutoff", 0, "detects in almost any sound"),
        ("micro.probability_cutoff", 0.003, "detects in almost any sound"),
        ("micro.sliding_window_size", 51, "a sliding window of 51"),
    ):
        (note,) = Manifest.from_json(manifest_with(field, value)).notes
        assert text in note
    for field, value in (
        ("micro.probability_cutoff", 0.99),
        ("micro.probability_cutoff", 0.004),
        ("micro.sliding_window_size", 50),
    ):
        assert Manifest.from_json(manifest_with(field, value)).notes == ()


# --- refusals --------------------------------------------------------------------------------


def with_extra_op(name, seed):
    """A model with one more op between FULLY_CONNECTED and LOGISTIC, and its number."""
    main, init, _ = random_graphs(seed)
    logistic = next(op for op in main.ops if op.name == "LOGISTIC")
    old = main.tensors[logistic.inputs[0]]
    extra = main.tensor("extra", old.shape, INT8, old.scales, old.zero_points)
    index = main.ops.index(logistic)
    main.ops.insert(index, Op(name, logistic.inputs[:1], [extra]))
    logistic.inputs = [extra]
    return main, init, index


STRIDE_1, STRIDE_2 = 11, 1  # seeds of random models


@pytest.mark.parametrize("name", ("MUL", "ADD", "MEAN", "SUB", "SOFTMAX", "CUSTOM"))
def test_an_op_that_is_not_supported_is_named_with_its_number(name):
    main, init, index = with_extra_op(name, STRIDE_2)
    with pytest.raises(HostToolError) as caught:
        convert_model(write_model([main, init]), MANIFEST)
    assert f"operator {index} ({name}" in caught.value.message
    assert "DEPTHWISE_CONV_2D" in caught.value.message
    assert "first-generation" not in caught.value.message + caught.value.hint, "that is not true"


@pytest.mark.parametrize("name", ("MUL", "ADD", "MEAN", "AVERAGE_POOL_2D"))
def test_a_first_generation_model_is_recognised_before_its_manifest(name):
    main, init, _ = with_extra_op(name, STRIDE_1)
    for manifest in (MANIFEST, FIRST_GENERATION_MANIFEST, {}):
        with pytest.raises(HostToolError) as caught:
            convert_model(write_model([main, init]), manifest)
        assert "a first-generation microWakeWord model" in caught.value.message
        assert name in caught.value.message and "v2 model" in caught.value.hint
    main, init, _ = with_extra_op("SOFTMAX", STRIDE_1)
    with pytest.raises(HostToolError, match="SOFTMAX.* not among the ops"):
        convert_model(write_model([main, init]), MANIFEST)


@pytest.mark.parametrize("shape", ((1, 16, 96), (1, 28, 96), (1, 76, 32, 1)))
def test_an_openwakeword_model_is_recognised_before_its_manifest(shape):
    main, init, _ = with_extra_op("MUL", STRIDE_2)
    main.tensors[main.inputs[0]].type = FLOAT32
    main.tensors[main.inputs[0]].shape = shape
    for manifest in (MANIFEST, FIRST_GENERATION_MANIFEST):
        with pytest.raises(HostToolError, match="an openWakeWord model") as caught:
            convert_model(write_model([main, init]), manifest)
        assert str(list(shape)) in caught.value.message


def test_a_float_model_is_refused_by_type():
    main, init, _ = random_graphs(0)
    main.tensors[main.inputs[0]].type = FLOAT32
    with pytest.raises(HostToolError, match="FLOAT32, not INT8") as caught:
        convert_model(write_model([main, init]), MANIFEST)
    assert "quantise" in caught.value.hint


# --- the command -----------------------------------------------------------------------------


@pytest.fixture
def model(tmp_path):
    """A model and its manifest in a folder of their own."""
    path = tmp_path / "hello.tflite"
    path.write_bytes(random_model(1)[0])
    path.with_suffix(".json").write_text(json.dumps(MANIFEST))
    return path


def convert(*arguments):
    return CliRunner(mix_stderr=False).invoke(convert_command.command, [str(a) for a in arguments])


def refused(*arguments) -> str:
    """What the command says when it refuses, in two lines and with status 2."""
    done = convert(*arguments)
    assert done.exit_code == 2, (done.output, done.exception)
    lines = done.stderr.strip().splitlines()
    assert lines[0].startswith("error: ") and len(lines) <= 2, done.stderr
    return done.stderr


def test_convert_and_report(model, tmp_path):
    out = tmp_path / "new" / "folder" / "hello.ewm"
    done = convert(model, "-o", out, "--inferences", 40)
    assert done.exit_code == 0, done.output
    data = out.read_bytes()
    header, _ = fmt.check(data)
    for words in (
        "Hello",
        f"{len(data):,} bytes",
        f"{header.macs:,} MACs per inference, one every 20 ms",
        "0.9 over 5 probabilities",
        "proved for every output channel",
        "40 inferences, 0 different",
    ):
        assert words in done.stdout, done.stdout
    assert sorted(os.listdir(out.parent)) == ["hello.ewm"], "no half-written file stays"


def test_json_report(model, tmp_path):
    out = tmp_path / "hello.ewm"
    done = convert(model, "-o", out, "--inferences", 20, "--json")
    assert done.exit_code == 0
    report = json.loads(done.stdout)
    data, source = out.read_bytes(), model.read_bytes()
    header, ops = fmt.check(data)
    assert report == {
        "output": str(out),
        "wake_word": "Hello",
        "probability_cutoff": 0.9,
        "sliding_window_size": 5,
        "stride": 2,
        "source_sha256": hashlib.sha256(source).hexdigest(),
        "sha256": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
        "arena_bytes": header.arena_bytes,
        "ram_bytes": len(data) + header.arena_bytes,
        "macs_per_inference": header.macs,
        "ops": len(ops),
        "inferences": 20,
        "different": 0,
        "notes": [],
    }


def test_no_inferences_leaves_the_proof_out(model, tmp_path, monkeypatch):
    def never(*_):
        raise AssertionError("the proof ran")

    monkeypatch.setattr(verifying, "verify", never)
    out = tmp_path / "out.ewm"
    done = convert(model, "-o", out, "--inferences", 0)
    assert done.exit_code == 0 and "skipped" in done.stdout and out.is_file()
    report = json.loads(convert(model, "-o", out, "--inferences", 0, "--json").stdout)
    assert (report["inferences"], report["different"]) == (0, 0)


def test_the_output_has_its_place(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert convert(model, "--inferences", 0).exit_code == 0
    assert (tmp_path / "build" / "models" / "hello.ewm").is_file()


def test_a_misspelled_model_names_the_known_ones():
    text = refused("okay_nbu")
    assert "there is no model 'okay_nbu'" in text and "okay_nabu" in text


def test_another_manifest(model, tmp_path):
    other = tmp_path / "other.json"
    other.write_text(json.dumps(manifest_with("wake_word", "Goodbye")))
    out = tmp_path / "out.ewm"
    assert convert(model, "--manifest", other, "-o", out, "--inferences", 0).exit_code == 0
    assert fmt.check(out.read_bytes())[0].wake_word == "Goodbye"
    assert "other2.json: there is no manifest" in refused(
        model, "--manifest", tmp_path / "other2.json"
    )
    other.write_text("{")
    assert "not JSON" in refused(model, "--manifest", other)
    other.write_text("[" * 100_000)
    assert "not JSON" in refused(model, "--manifest", other)


def test_without_a_manifest(model, tmp_path):
    model.with_suffix(".json").unlink()
    out = tmp_path / "out.ewm"
    given = ["--word", "Computer", "--cutoff", 0.5, "--window", 7]
    assert convert(model, *given, "-o", out, "--inferences", 0).exit_code == 0
    header, _ = fmt.check(out.read_bytes())
    assert header.wake_word == "Computer"
    assert (header.probability_cutoff, header.sliding_window_size) == (127, 7)
    for left_out in range(0, 6, 2):
        partly = given[:left_out] + given[left_out + 2 :]
        text = refused(model, *partly, "-o", out, "--inferences", 0)
        assert "hello.json: there is no manifest" in text and "--word" in text


def test_the_template_of_a_missing_manifest_converts(model, tmp_path):
    model.with_suffix(".json").unlink()
    text = refused(model, "--inferences", 0)
    model.with_suffix(".json").write_text(text[text.index("{") :])
    out = tmp_path / "out.ewm"
    assert convert(model, "-o", out, "--inferences", 0).exit_code == 0
    assert fmt.check(out.read_bytes())[0].wake_word == "hello"


def test_the_command_line_wins_over_the_manifest(model, tmp_path):
    out = tmp_path / "out.ewm"
    assert convert(model, "--window", 12, "-o", out, "--inferences", 0).exit_code == 0
    header, _ = fmt.check(out.read_bytes())
    assert (header.wake_word, header.sliding_window_size) == ("Hello", 12)
    assert header.probability_cutoff == 229
    for wrong in (["--cutoff", 1.1], ["--cutoff", -1], ["--window", 0], ["--window", 256]):
        done = convert(model, *wrong, "--inferences", 0)
        assert done.exit_code == 2 and wrong[0] in done.stderr
    assert "wake_word is ''" in refused(model, "--word", "", "--inferences", 0)


def test_notes_are_shown(model, tmp_path):
    manifest = {**manifest_with("micro.probability_cutoff", 1.0), "model": "./other.tflite"}
    model.with_suffix(".json").write_text(json.dumps(manifest))
    done = convert(model, "-o", tmp_path / "out.ewm", "--inferences", 0, "--json")
    assert done.exit_code == 0
    never, other = json.loads(done.stdout)["notes"]
    assert "never detects" in never
    assert other.endswith("is for './other.tflite', not for hello.tflite")
    assert f"note: {never}" in done.stderr and f"note: {other}" in done.stderr
    manifest["model"] = "https://example.com/models/hello.tflite"
    model.with_suffix(".json").write_text(json.dumps(manifest))
    done = convert(model, "-o", tmp_path / "out.ewm", "--inferences", 0, "--json")
    assert json.loads(done.stdout)["notes"] == [never]


def test_names_of_known_models(tmp_path):
    out = tmp_path / "out.ewm"
    done = convert("okay_nabu", "-o", out, "--inferences", 30)
    assert done.exit_code == 0 and "Okay Nabu" in done.stdout and "36,480 MACs" in done.stdout


def test_files_that_are_not_there_or_not_models(model, tmp_path):
    assert "none.tflite" in refused(tmp_path / "none.tflite")
    assert "Is a directory" in refused(tmp_path)
    (tmp_path / "text.tflite").write_text("hello")
    (tmp_path / "text.json").write_text(json.dumps(MANIFEST))
    assert "not a TensorFlow Lite model" in refused(tmp_path / "text.tflite")
    model.write_bytes(model.read_bytes()[:3000])
    assert "damaged" in refused(model)


def test_places_that_cannot_be_written(model, tmp_path):
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file" / "out.ewm", "/dev/null/out.ewm", "/proc/nothing/out.ewm"):
        words = refused(model, "-o", place, "--inferences", 0)
        assert str(place) in words and "-o" in words
    folder = tmp_path / "folder"
    folder.mkdir()
    assert str(folder) in refused(model, "-o", folder, "--inferences", 0)
    assert sorted(os.listdir(tmp_path)) == ["file", "folder", "hello.json", "hello.tflite"]


def test_counts_of_inferences(model):
    for count in (-1, 10_000_001, "many"):
        done = convert(model, "--inferences", count)
        assert done.exit_code == 2 and "--inferences" in done.stderr


def test_a_difference_refuses_and_writes_nothing(model, tmp_path, monkeypatch):
    real = verify.run_firmware

    def one_wrong(data, slices):
        got = real(data, slices).copy()
        got[7] ^= 1
        return got

    monkeypatch.setattr(verify, "run_firmware", one_wrong)
    out = tmp_path / "out.ewm"
    words = refused(model, "-o", out, "--inferences", 30)
    assert "1 of 30 outputs differ" in words and "number 7" in words
    assert not out.exists()
    monkeypatch.setattr(verify, "run_firmware", lambda data, slices: real(data, slices)[:-1])
    assert "29 inferences where TFLite ran 30" in refused(model, "-o", out, "--inferences", 30)


def test_a_wrong_weight_is_found_by_the_proof(model):
    """The proof compares with TFLite, not with the converter's own idea."""
    converted = convert_model(model.read_bytes(), MANIFEST)
    assert verify.verify(converted, 60).is_exact
    data = bytearray(converted.data)
    weights = get(data, "fills_at") + 12 * get(data, "fill_count")  # of the first layer
    for at in range(weights, weights + 160):
        data[at] ^= 0x40
    object.__setattr__(converted, "data", bytes(data))
    with pytest.raises(HostToolError, match="checksum"):
        verify.verify(converted, 60)
    struct.pack_into("<I", data, 12, fmt.crc32(data))
    object.__setattr__(converted, "data", bytes(data))
    report = verify.verify(converted, 60)
    assert not report.is_exact and report.different > 0 and report.first is not None


def test_without_a_native_emitter_it_says_so(model, monkeypatch):
    monkeypatch.setattr(micropython, "has_native_emitter", lambda: False)
    assert "no native emitter" in refused(model, "--inferences", 10)


def test_every_known_model_is_listed():
    done = CliRunner(mix_stderr=False).invoke(models.command, ["--json"])
    entries = json.loads(done.stdout)
    assert [entry["name"] for entry in entries] == sorted(known_models())
    for entry in entries:
        source = known_models()[entry["name"]]
        manifest = read_manifest(source.with_suffix(".json"))
        assert entry["wake_word"] == manifest["wake_word"]
        assert entry["sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()
        assert entry["tflite_bytes"] == source.stat().st_size
        assert entry["licence"] != "unknown" and "unknown" not in entry["origin"]
        assert 20_000 < entry["macs_per_inference"] < 40_000 and entry["stride"] == 3
        assert entry["ram_bytes"] > entry["bytes"] > 10_000
    text = CliRunner(mix_stderr=False).invoke(models.command, []).stdout
    for entry in entries:
        (line,) = [line for line in text.splitlines() if line.startswith(f"{entry['name']} ")]
        for number in ("macs_per_inference", "bytes", "ram_bytes"):
            assert f"{entry[number]:,}" in line.split()
    page = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    table = page.partition("| model | wake word |")[1:]
    shown = [
        "| " + " | ".join(re.split(r" {2,}", line.strip())) + " |" for line in text.splitlines()
    ]
    written = "".join(table).split("\n\n")[0].splitlines()
    assert [written[0], *written[2:]] == shown, "docs/models.md: renew the table"
