"""One model: its rhythm, its reset, its buffers."""

import gc
import os

import micropython
import wakeword.model as model_module
from diagnostics.known_answers import walk_errors
from uctypes import addressof
from wakeword import kernels
from wakeword.model import Model, ModelFormatError, read
from wakeword.model_format import DEPTHWISE, DOT, check, crc32

NEEDS_MODELS = True
FOLDER = os.getenv("EARNEST_TEST_MODELS") or "models"
STRIDES = {"okay_nabu": 3, "hey_jarvis": 3, "stride1": 1, "stride2": 2, "stride4": 4}


def load(name):
    return read(FOLDER + "/" + name + ".ewm")


def slices(count, seed=1):
    """`count` random slices, some at the rails."""
    out = []
    for i in range(count):
        values = bytearray(40)
        for j in range(40):
            seed = (seed * 1103515245 + 12345) & 0x7FFFFFFF
            values[j] = seed >> 16 & 255
        if i % 7 == 3:
            values = bytearray((b"\xff" if i & 8 else b"\0") * 40)
        out.append(values)
    return out


def outputs(model, values):
    """(answer, probability) of each push."""
    return [(model.push(v), model.probability) for v in values]


def test_an_inference_each_stride_and_the_probability_stays_between():
    for name, stride in STRIDES.items():
        model = load(name)
        assert model.header.stride == stride
        assert (model.probability, model.inferred) == (0, False)
        seen = []
        for i, values in enumerate(slices(24)):
            before = model.probability
            answer = model.push(values)
            assert answer == model.inferred == ((i + 1) % stride == 0), (name, i)
            assert answer or model.probability == before
            seen.append(model.probability)
        assert 0 <= min(seen) and max(seen) <= 255


def test_random_models_have_outputs_that_vary():
    for name in ("stride1", "stride2", "stride4"):
        assert len(set(outputs(load(name), slices(160)))) > 12, name


class Forgetful(Model):
    """A model whose push leaves an op out, as a wrong walk would."""

    def __init__(self, data):
        super().__init__(data)
        self._whole = self._whole[:1] + self._whole[2:]


def test_the_self_test_compares_a_push_with_its_ops_one_by_one():
    for name in ("okay_nabu", "stride1", "stride4"):
        model = load(name)
        assert walk_errors(model) == 0, name
        assert walk_errors(Forgetful(model._data)) > 0, name
        assert (model.probability, model.inferred) == (0, False)


def test_reset_is_a_new_model_at_any_phase():
    values = slices(48)
    for name in STRIDES:
        want = outputs(load(name), values)
        arena = bytes(load(name)._arena)
        model = load(name)
        for used in (0, 1, 2, 3, 5, 31, 48):
            for v in slices(used, 9):
                model.push(v)
            model.reset()
            assert (model.probability, model.inferred) == (0, False)
            assert bytes(model._arena) == arena, (name, used)
            assert outputs(model, values) == want, (name, used)


def test_reset_within_the_stride_drops_the_slices_before_it():
    model = load("stride4")
    for v in slices(3):
        assert not model.push(v)
    model.reset()
    for v in slices(3):
        assert not model.push(v)
    assert model.push(slices(1)[0])


def test_push_allocates_nothing_and_leaves_the_file_as_it_was():
    for name in STRIDES:
        model = load(name)
        values = slices(12)
        crc = crc32(model._data)
        gc.collect()
        micropython.heap_lock()
        try:
            for v in values:
                model.push(v)
        finally:
            micropython.heap_unlock()
        assert crc32(model._data) == crc == model.header.crc32


def test_models_share_a_file_but_not_their_state():
    data = load("okay_nabu")._data
    first, second = Model(data), Model(data)
    values = slices(30)
    want = outputs(Model(data), values)
    got = []
    for i, v in enumerate(values):
        got.append((first.push(v), first.probability))
        second.push(values[-1 - i])
    assert got == want
    second.reset()
    assert outputs(second, values) == want


def test_a_file_in_any_kind_of_buffer():
    data = load("stride2")._data
    values = slices(40)
    want = outputs(Model(data), values)
    for buffer in (bytes(data), memoryview(data)):
        assert outputs(Model(buffer), values) == want


def test_loading_takes_the_file_the_arena_and_little_more():
    for name in STRIDES:
        gc.collect()
        before = gc.mem_alloc()
        model = load(name)
        gc.collect()
        taken = gc.mem_alloc() - before
        header = model.header
        # Objects of this 64-bit host: 32 bytes and more each op.
        assert taken < header.file_bytes + header.arena_bytes + 3000 + 200 * header.op_count, taken


def test_damaged_files_are_refused_on_the_device_too():
    data = load("okay_nabu")._data
    for size in (0, 3, 4, 95, 96, 1000, len(data) - 1):
        refused(bytes(data[:size]))
    for at in (0, 4, 8, 12, 48, 60, 72, 200, len(data) - 1):
        damaged = bytearray(data)
        damaged[at] ^= 1
        refused(damaged)
    header, ops = check(data)
    assert header.wake_word == "Okay Nabu" and len(ops) == header.op_count


def refused(data):
    try:
        Model(data)
    except ModelFormatError as error:
        assert str(error)
        return
    raise AssertionError("accepted")


def test_a_file_that_is_not_there():
    try:
        read(FOLDER + "/nothing.ewm")
    except OSError:
        return
    raise AssertionError("read")


class CountedVectors:
    """The plain kernels in the place of the vector unit's; lists the ops that they ran."""

    ran = []

    @classmethod
    def dot(cls, arena, data, at):
        cls.ran.append(at)
        kernels.dot(arena, data, at)

    @classmethod
    def depthwise(cls, arena, data, at):
        cls.ran.append(at)
        kernels.depthwise(arena, data, at)


def test_vector_kernels_run_where_there_are_some_and_both_buffers_lie_right():
    assert model_module._vector is None  # no ESP32-S3
    plain = load("okay_nabu")
    data = plain._data
    values = slices(9)
    want = outputs(plain, values)
    _header, ops = check(data)
    multiplies = [at for kind, at in ops if kind in (DOT, DEPTHWISE)]
    shifted = bytearray(len(data) + 32)
    room = 8 - addressof(shifted) % 16 + 16  # where a buffer lies at 8 modulo 16
    shifted[room : room + len(data)] = data
    beside = memoryview(shifted)[room : room + len(data)]
    model_module._vector = CountedVectors
    try:
        for held, ran in ((data, 3 * multiplies), (beside, [])):
            CountedVectors.ran = []
            assert outputs(Model(held), values) == want
            assert CountedVectors.ran == ran
    finally:
        model_module._vector = None
