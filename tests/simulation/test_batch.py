"""Several files: whatever the number of jobs, the same output in the same order."""

import json
from concurrent.futures import CancelledError

import numpy as np
import pytest

from host_tools import cli
from host_tools.audio import files as audio
from host_tools.models.catalog import find_model
from host_tools.progress import no_progress
from host_tools.simulation.batch import StoppedError, in_order
from host_tools.simulation.runner import Settings
from tests.fakes.simulated import wake_and_command


def test_jobs_change_neither_traces_nor_results(tmp_path, capsys):
    """The longest file is first, so the others have finished before it; one is no audio."""
    audio.write(tmp_path / "a.wav", wake_and_command())
    (tmp_path / "b.wav").write_bytes(b"no audio")
    audio.write(tmp_path / "c.wav", np.zeros(1600, np.int16))
    audio.write(tmp_path / "d.wav", np.zeros(8000, np.int16))
    seen = []
    for jobs in (1, 3):
        arguments = [str(tmp_path / f"{name}.wav") for name in "abcd"]
        arguments += ["--json", "--trace", str(tmp_path / "trace.jsonl"), "-j", str(jobs)]
        assert cli.run(["simulate", *arguments]) == 2
        printed = capsys.readouterr()
        found = json.loads(printed.out)
        for file in found["files"]:
            del file["real_time_factor"]
        seen.append((found, printed.err, (tmp_path / "trace.jsonl").read_bytes()))
    assert seen[0] == seen[1]
    names = [file["audio"][-5:] for file in seen[0][0]["files"]]
    assert names == ["a.wav", "c.wav", "d.wav"] and seen[0][2].count(b'"start"') == 3


def test_leaving_stops_what_runs(tmp_path):
    path = tmp_path / "long.wav"
    audio.write(path, np.zeros(600 * 16000, np.int16))
    settings = Settings((find_model("okay_nabu"),))

    def bar(total, unit):
        return no_progress(total)

    with in_order([str(path)] * 2, settings, None, False, 2, bar) as runs:
        finish = next(runs)
    with pytest.raises((StoppedError, CancelledError)):
        finish()
