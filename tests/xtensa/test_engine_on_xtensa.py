"""A second of speech through the whole front end and model, as the chip's machine code."""

import numpy as np
import pytest

from host_tools.audio import speech
from host_tools.models import reference as oracle
from host_tools.models.catalog import DEFAULT_MODEL, find_model, known_models
from host_tools.xtensa.call_trace import Trace
from host_tools.xtensa.kernels import VIPER, kernel_names, load_kernels
from host_tools.xtensa.machine import XtensaMachine
from host_tools.xtensa.record import record_engine
from host_tools.xtensa.replay import Replay
from host_tools.xtensa.workspaces import WORKSPACES


def spoken(seconds=1.0):
    """Speech with the wake word, int16."""
    samples = speech.pad(speech.synthesise("Okay Nabu"), 0.05, 0.5)
    return np.resize(samples, round(16000 * seconds))


def extremes():
    """Noise at the rails, silence, impulses of -32768, a clipped tone: 150 ms of each."""
    rng = np.random.default_rng(1)
    n = np.arange(2400)
    tone = (60000 * np.sin(n * 0.3)).clip(-32768, 32767)
    parts = (
        rng.choice([-32768, 32767], 2400),
        np.zeros(2400),
        np.where(n % 97, 5, -32768),
        tone,
        np.full(2400, -32768),
    )
    return np.concatenate(parts).astype(np.int16)


@pytest.fixture(scope="module")
def speech_trace(native_emitter) -> Trace:
    return record_engine(spoken(), [find_model(DEFAULT_MODEL).path.read_bytes()])


def replayed(each_chip, trace):
    """Viper kernels must write exactly what was recorded; assembler has its workspaces."""
    workspaces = WORKSPACES if each_chip.variant != VIPER else {}
    return Replay(each_chip.machine, each_chip.kernels, trace, workspaces).run()


def test_a_second_of_speech_is_the_same_in_every_value(each_chip, speech_trace):
    report = replayed(each_chip, speech_trace)
    assert (report.different, report.first) == (0, None)
    assert set(report.calls_of) == set(kernel_names()), "a kernel that the engine does not call"
    steps = report.calls_of["wakeword.frontend.kernels.window"]
    assert steps == 100 and report.calls > 1500


def test_the_recorded_features_are_the_oracles(speech_trace):
    """The recording itself is right: what the front end wrote equals pymicro-features."""
    want = oracle.features(spoken())
    got = []
    memory = bytes(80)
    for call in speech_trace:
        if call.kernel.endswith(".compress"):
            features = call.arguments[2]
            for change in (*call.before, *call.after):
                if features.address <= change.address < features.address + 80:
                    at = change.address - features.address
                    memory = memory[:at] + change.content + memory[at + len(change.content) :]
            got.append(np.frombuffer(memory, "<u2"))
    assert len(got) == 98
    assert np.array_equal(np.array(got), want[: len(got)])


def test_extreme_audio_is_the_same_in_every_value(native_emitter, each_chip):
    trace = record_engine(extremes(), [find_model(DEFAULT_MODEL).path.read_bytes()])
    report = replayed(each_chip, trace)
    assert (report.different, report.first) == (0, None)


def test_all_known_models_together(native_emitter, each_chip):
    models = [find_model(name).path.read_bytes() for name in known_models()]
    report = replayed(each_chip, record_engine(spoken(0.4), models))
    assert (report.different, report.first) == (0, None)


def test_single_steps_count_the_same(qemu, speech_trace):
    """Blocks times their lengths is what stepping through every instruction counts."""
    counts = []
    for single_step in (False, True):
        with XtensaMachine(count=True, single_step=single_step) as machine:
            Replay(machine, load_kernels(machine), speech_trace).run(limit=40)
            counts.append(machine.counts())
    assert len(counts[0]) == 40 and counts[0] == counts[1]
