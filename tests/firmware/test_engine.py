"""The whole engine: several models on one front end, reset, no allocation."""

import gc
import os

import micropython
from wakeword import engine as engine_module
from wakeword.detector import Detector
from wakeword.engine import CHUNK_SAMPLES, Engine
from wakeword.model import read

NEEDS_MODELS = True
FOLDER = os.getenv("EARNEST_TEST_MODELS") or "models"
THREE = ("okay_nabu", "alexa", "hey_jarvis")
MIXED = ("stride2", "okay_nabu", "stride1", "stride4")
CHUNK_BYTES = 2 * CHUNK_SAMPLES


def models(names):
    return [read(FOLDER + "/" + name + ".ewm") for name in names]


def speech():
    """Chunks of 10 ms with the known models' wake words in them."""
    with open(FOLDER + "/speech.pcm", "rb") as file:
        data = file.read()
    return [data[i : i + CHUNK_BYTES] for i in range(0, len(data) - CHUNK_BYTES + 1, CHUNK_BYTES)]


def trace(engine, chunks):
    """What a listener can see of each chunk."""
    seen = []
    for chunk in chunks:
        detected = engine.process(chunk)
        of_models = tuple([(m.inferred, m.probability) for m in engine.models])
        means = tuple([d.mean for d in engine.detectors])
        values = bytes(engine.slice) if engine.slice_ready else None
        seen.append((detected, engine.slice_ready, values, of_models, means))
    return seen


def test_wake_words_are_heard_by_their_own_models():
    """In the order in which they are spoken; the synthetic voice does not wake every model."""
    names = ("alexa", "hey_jarvis", "hey_mycroft", "okay_nabu")
    engine = Engine(models(names))
    heard = [engine.process(chunk) for chunk in speech()]
    order = [i for i in heard if i >= 0]
    assert order == sorted(order) and 0 in order and 3 in order, order


def test_the_first_slice_comes_with_the_third_chunk():
    engine = Engine(models(("okay_nabu",)))
    assert not engine.slice_ready
    ready = []
    for chunk in speech()[:6]:
        assert engine.process(chunk) == -1
        ready.append(engine.slice_ready)
    assert ready == [False, False, True, True, True, True]


def test_process_allocates_nothing():
    chunks = speech()
    for names in (("okay_nabu",), THREE, MIXED):
        engine = Engine(models(names))
        detections = 0
        gc.collect()
        micropython.heap_lock()
        try:
            for chunk in chunks:
                if engine.process(chunk) >= 0:
                    detections += 1
        finally:
            micropython.heap_unlock()
        assert detections, "a detection must not allocate either"


def test_models_together_give_what_each_gives_alone():
    chunks = speech()
    for names in (THREE, MIXED):
        together = trace(Engine(models(names)), chunks)
        alone = [trace(Engine(models((name,))), chunks) for name in names]
        for i, (detected, ready, values, of_models, means) in enumerate(together):
            own = [one[i] for one in alone]
            assert all([(ready, values) == one[1:3] for one in own]), i
            assert of_models == tuple([one[3][0] for one in own]), i
            assert means == tuple([one[4][0] for one in own]), i
            answers = [n for n, one in enumerate(own) if one[0] >= 0]
            assert detected == (answers[0] if answers else -1), (i, answers)
        assert any([step[0] >= 0 for step in together])


def test_the_first_of_several_detections_counts_and_each_has_its_pause():
    """The same model twice: both detect in one chunk, and neither does so again."""
    chunks = speech()
    twice = Engine(models(("okay_nabu", "okay_nabu")))
    once = Engine(models(("okay_nabu",)))
    want = [once.process(chunk) for chunk in chunks]
    assert [twice.process(chunk) for chunk in chunks] == want
    assert 0 in want
    assert twice.detectors[1].mean == twice.detectors[0].mean == once.detectors[0].mean


def test_detectors_take_what_the_file_says():
    engine = Engine(models(MIXED), 700)
    for i, detector in enumerate(engine.detectors):
        header = engine.models[i].header
        assert detector.cutoff == header.probability_cutoff
        assert len(detector._recent) == header.sliding_window_size
        assert detector.step_ms == 10 * header.stride
        assert detector.refractory_ms == 700
    assert Engine(engine.models).detectors[0].refractory_ms == 1000


def test_a_setting_counts_instead_of_what_the_file_says():
    usual = models(MIXED)
    engine = Engine(usual, 700, [(200, 12), None, (None, 3), (90, None)][: len(usual)])
    as_in_file = Engine(usual, 700)
    for i, want in enumerate(((200, 12), (None, None), (None, 3), (90, None))[: len(usual)]):
        detector, other = engine.detectors[i], as_in_file.detectors[i]
        assert detector.cutoff == (other.cutoff if want[0] is None else want[0])
        assert len(detector._recent) == (len(other._recent) if want[1] is None else want[1])
        assert (detector.step_ms, detector.refractory_ms) == (other.step_ms, 700)


def test_another_kind_of_model_brings_what_decides_on_it():
    class Always:
        mean = 7

        def __init__(self, header, refractory_ms):
            self.made_of = header, refractory_ms

        def update(self, probability):
            return True

        def reset(self):
            pass

    usual, other = models(("okay_nabu", "okay_nabu"))
    other.header.kind = 9
    try:
        Engine([other])
    except KeyError:
        pass
    else:
        raise AssertionError("a kind that nothing decides on")
    engine_module._DECIDERS[9] = Always
    try:
        engine = Engine([usual, other], 300)
    finally:
        del engine_module._DECIDERS[9]
    assert engine.detectors[1].made_of == (other.header, 300)
    assert isinstance(engine.detectors[0], Detector)
    heard = [engine.process(chunk) for chunk in speech()[:6]]
    assert heard.count(1) == 1 and engine.detectors[1].mean == 7, heard


def test_cutoff_can_change_while_it_listens():
    chunks = speech()
    engine = Engine(models(("okay_nabu",)))
    engine.detectors[0].cutoff = 255
    assert not any([engine.process(chunk) >= 0 for chunk in chunks])
    engine.reset()
    assert engine.detectors[0].cutoff == 255, "reset keeps the cutoff"
    engine.detectors[0].cutoff = 200
    assert any([engine.process(chunk) >= 0 for chunk in chunks])


def test_reset_is_a_new_engine_at_any_phase():
    chunks = speech()
    part = chunks[-130:]
    for names in (("okay_nabu",), MIXED):
        want = trace(Engine(models(names)), part)
        engine = Engine(models(names))
        for used in (0, 1, 2, 3, 4, 5, 6, 13, 201):
            for chunk in chunks[200 : 200 + used]:
                engine.process(chunk)
            engine.reset()
            assert not engine.slice_ready
            assert [m.probability for m in engine.models] == [0] * len(names)
            assert list(engine.frontend.features) == [0] * 40
            assert trace(engine, part) == want, (names, used)


def test_reset_within_a_pause_ends_it():
    chunks = speech()
    engine = Engine(models(("okay_nabu",)))
    want = trace(Engine(models(("okay_nabu",))), chunks)
    for chunk in chunks:
        if engine.process(chunk) >= 0:
            break
    engine.reset()
    assert trace(engine, chunks) == want


def test_two_engines_do_not_disturb_each_other():
    chunks = speech()[:150]
    want = trace(Engine(models(("okay_nabu",))), chunks)
    first, second = Engine(models(("okay_nabu",))), Engine(models(("alexa",)))
    got = []
    for i, chunk in enumerate(chunks):
        got += trace(first, [chunk])
        second.process(chunks[-1 - i])
    assert got == want


def test_no_model_at_all_still_makes_slices():
    engine = Engine([])
    assert [engine.process(chunk) for chunk in speech()[:4]] == [-1] * 4
    assert engine.slice_ready


def test_what_is_not_a_chunk_is_refused():
    """A kernel would read beyond it, or at an address of anybody's choice."""
    engine = Engine([])
    for wrong in (b"", bytearray(10), bytearray(319), bytearray(321), memoryview(bytes(640))):
        try:
            engine.process(wrong)
            raise AssertionError(len(wrong))
        except ValueError:
            pass
    for wrong in (5, None, [0] * 320, (0,) * 320, {i: 0 for i in range(320)}):
        try:
            engine.process(wrong)
            raise AssertionError(wrong)
        except TypeError:
            pass
    for right in (bytes(320), bytearray(320), memoryview(bytes(640))[:320]):
        assert engine.process(right) == -1
