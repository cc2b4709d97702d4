"""`earnest bench`: its figures, its formats, its errors."""

import dataclasses
import json

import numpy as np
import pytest
from click.testing import CliRunner

from host_tools.commands import bench
from host_tools.errors import HostToolError
from host_tools.models.catalog import find_model
from host_tools.shared_firmware import FIRMWARE, ROOT
from host_tools.xtensa import chunk_cost, interpreter_cost
from host_tools.xtensa import report as bench_report
from host_tools.xtensa.kernels import VIPER, kernel_names
from host_tools.xtensa.measure import CLOCK_HZ

OTHER_MODELS = {"alexa", "hey_jarvis", "hey_mycroft"}
QUICK = ["--seconds", "0.3", "--no-overhead"]


def run(*arguments):
    # Progress goes to standard error; rich writes there directly, so stdout is the report alone.
    return CliRunner().invoke(bench.command, list(arguments))


@pytest.fixture(scope="module")
def report(qemu, native_emitter):
    done = run(*QUICK, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout[done.stdout.index("{") :])


def test_json_adds_up(report):
    assert report["version"] == bench_report.JSON_VERSION and report["clock_hz"] == CLOCK_HZ
    (model,) = report["models"]
    assert (model["model"], model["macs"], model["stride"]) == ("okay_nabu", 36480, 3)
    for variant in model["variants"]:
        names = {"wakeword." + kernel["name"] for kernel in variant["kernels"]}
        assert names == set(kernel_names())
        per_second = sum(kernel["per_second"] for kernel in variant["kernels"])
        assert per_second / 1e6 == pytest.approx(variant["million_per_second"])
        assert per_second == pytest.approx(100 * variant["per_step"])
        assert variant["share"] == pytest.approx(per_second / CLOCK_HZ)
        front, inference = variant["front_end_per_step"], variant["per_inference"]
        assert front + inference / 3 == pytest.approx(variant["per_step"])
        assert variant["values_compared"] > 1_000_000
        rates = {kernel["name"]: kernel["calls_per_second"] for kernel in variant["kernels"]}
        assert rates["frontend.kernels.window"] == rates["kernels.load"] == 100
    viper = model["variants"][0]
    assert viper["name"] == VIPER
    # 36,480 MACs at the 8 to 20 instructions that viper takes for one.
    assert 8 < viper["per_inference"] / model["macs"] < 25


def test_the_speaker_has_its_row(report):
    costs = report["speaker_instructions_per_chunk"]
    assert set(costs) >= {"speaker.volume", "speaker.chime"}
    assert 160 * 10 < costs["speaker.volume"] < 4000  # 0.4 M instr/s


def test_what_is_around_the_engine_has_its_rows(report):
    costs = report["instructions_per_chunk_around"]
    assert {"microphone.convert", "gate.copy", "gate.move"} <= set(costs)
    assert 160 * 17 < costs["microphone.convert"] < 2800


def test_code_around_the_engine_that_computes_wrongly_has_no_figure(qemu, monkeypatch):
    monkeypatch.setattr(chunk_cost, "_GAIN_Q4", 17)
    assert chunk_cost.instructions_per_chunk()["microphone.convert"] > 0
    monkeypatch.setattr(chunk_cost, "_converted", lambda words: np.zeros(160, np.int16))
    with pytest.raises(HostToolError, match="convert"):
        chunk_cost.instructions_per_chunk()


def test_ram_is_within_its_limit(report):
    ram = report["models"][0]["ram"]
    parts = ("model", "arena", "front_end", "tables", "objects", "code")
    assert ram["total"] == sum(ram[part] for part in parts)
    assert all(ram[part] > 0 for part in parts)
    assert ram["total"] <= bench_report.RAM_LIMIT_BYTES


def test_the_same_figures_on_every_run(report):
    again = run(*QUICK, "--json").stdout
    assert json.loads(again[again.index("{") :]) == report


def test_table_and_markdown_and_update(report, tmp_path):
    text = run(*QUICK).stdout
    assert (
        "model.dot" in text
        and "frontend.fft" in text
        and "% of a 240 MHz core" in text
        and "0 different" in text
        and "speaker.volume" in text
    )
    page = tmp_path / "README.md"
    page.write_text(f"before\n{bench_report.BEGIN}\nold\n{bench_report.END}\nafter\n")
    markdown = run(*QUICK, "--markdown", "--update", str(page)).stdout
    table = markdown[markdown.index("| model") :].strip()
    assert (
        page.read_text() == f"before\n{bench_report.BEGIN}\n{table}\n{bench_report.END}\nafter\n"
    )
    page.write_text("no markers")
    done = run(*QUICK, "--update", str(page))
    assert done.exit_code == 2 and "0 places" in done.output
    assert page.read_text() == "no markers"


def test_the_published_table_is_what_bench_prints(qemu, native_emitter):
    """Its RAM follows every change of the firmware, so that column may be 2 % off."""
    done = run("okay_nabu", "--no-overhead", "--markdown")
    printed = done.stdout[done.stdout.index("| model") :].strip().splitlines()
    page = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    block = page.partition(bench_report.BEGIN)[2].partition(bench_report.END)[0]
    published = block.strip().splitlines()
    rows = [line.split("|") for line in published]
    is_other_model = [len(row) == 10 and row[1].strip() in OTHER_MODELS for row in rows]
    assert sum(is_other_model) == len(OTHER_MODELS)
    kept = [line for line, other in zip(published, is_other_model, strict=True) if not other]
    hint = "renew it: earnest bench --all --update docs/performance.md"
    ram_printed, ram_published = (float(lines[2].split("|")[8]) for lines in (printed, kept))
    assert ram_printed == pytest.approx(ram_published, rel=0.02), hint
    printed[2], kept[2] = (lines[2].rpartition(" | ")[0] for lines in (printed, kept))
    assert kept[: len(printed)] == printed, hint


def test_errors(qemu, native_emitter):
    done = run("no_such_model", *QUICK)
    assert done.exit_code == 2 and "no_such_model" in done.output
    assert run("--seconds", "0.01").exit_code == 2


def test_missing_qemu_is_named(monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    done = run()
    assert done.exit_code == 2 and "apt-get install qemu-user" in done.output


def test_missing_valgrind_is_named(monkeypatch):
    monkeypatch.setattr(interpreter_cost.shutil, "which", lambda name: None)
    with pytest.raises(HostToolError) as caught:
        interpreter_cost.instructions_per_step([])
    assert caught.value.hint == "apt-get install valgrind"


@pytest.mark.skipif(not interpreter_cost.has_valgrind(), reason="valgrind is not installed")
def test_loading_a_model_costs_little(native_emitter, figure):
    """The chip must do it in 12 million instructions, 50 ms."""
    counted = interpreter_cost.instructions_per_load(find_model("okay_nabu").path)
    figure(f"loading okay_nabu: {counted:,} host instructions")
    assert counted < 5_000_000


def walker_names(source):
    return [line.partition("(")[0] for line in source.splitlines() if line.startswith("def ")]


def test_emptied_kernels_keep_their_signatures(tmp_path):
    folder = tmp_path / "firmware"
    interpreter_cost.copy_with_empty_kernels(folder)
    assert "asm_xtensa" not in "".join(path.read_text() for path in folder.rglob("*.py"))
    assert walker_names((folder / "wakeword" / "walk_xtensa.py").read_text()) == walker_names(
        (FIRMWARE / "wakeword" / "walk_xtensa.py").read_text()
    )
    text = (folder / "wakeword" / "frontend" / "kernels.py").read_text()
    assert "-> int:\n    return 0" in text and "while" not in text
    assert text.count("@micropython.viper") == 5


def test_ram_over_the_limit_is_said():
    from host_tools.xtensa.measure import Measurement, Ram

    ram = Ram(100_000, 50_000, 5_000, 4_000, 999, 2)
    result = Measurement("m", "w", 1, 3, 2, [], ram)
    assert "over its limit of 160 kB" in bench_report.summary(result)
    smaller = dataclasses.replace(result, ram=dataclasses.replace(ram, code=1))
    assert "within its limit of 160 kB" in bench_report.summary(smaller)
