"""The messages against the real `wyoming` package both ways, and fuzzed in both runtimes."""

import base64
import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wyoming.asr import Transcript
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.event import Event, read_event, write_event
from wyoming.info import Describe
from wyoming.ping import Ping, Pong
from wyoming.satellite import RunSatellite
from wyoming.version import __version__
from wyoming.wake import Detection

from firmware.satellite import protocol

FORM = {"rate": 16000, "width": 2, "channels": 1}
STREAM = "0123456789abcdef"
CONSENT = {
    "stream": STREAM,
    "keep_recordings": True,
    "share_for_training": False,
    "preroll_ms": 0,
}


def decode(data, cuts=()):
    """(type, data, payload) of every event, and the words of the error that ended it, or None."""
    decoder = protocol.Decoder(protocol.MAX_PAYLOAD_BYTES)
    events = []
    edges = [0, *sorted(c % (len(data) + 1) for c in cuts), len(data)]
    try:
        for start, stop in zip(edges, edges[1:], strict=False):
            for event in decoder.feed(data[start:stop]):
                events.append((event.type, event.data, event.payload))
    except protocol.ProtocolError as error:
        return events, str(error)
    return events, None


def written(event):
    """What the wyoming package writes for `event`."""
    memory = io.BytesIO()
    memory.writelines = lambda lines: [memory.write(line) for line in lines]
    write_event(event, memory)
    return memory.getvalue()


def test_we_name_the_installed_release_of_wyoming():
    assert protocol.WYOMING_VERSION == __version__


def test_wyoming_reads_what_we_write():
    chunk = protocol.AudioChunk()
    chunk.payload[:640] = bytes(range(256)) * 2 + bytes(128)
    data = b"".join(
        [
            protocol.encode(protocol.PING),
            protocol.encode(protocol.PONG, {"text": "x"}),
            protocol.encode(protocol.CONSENT, CONSENT),
            protocol.encode(protocol.DETECTION, {"name": "okay_nabu", "probability": 250}),
            protocol.encode(protocol.AUDIO_START, FORM),
            bytes(chunk.message(640)),
            bytes(chunk.message(2)),
            protocol.encode(protocol.AUDIO_CHUNK, FORM, b"abcd"),
            protocol.encode(protocol.AUDIO_STOP),
        ]
    )
    reader = io.BytesIO(data)
    got = [read_event(reader) for _ in range(9)]
    assert read_event(reader) is None
    assert Ping.from_event(got[0]) == Ping() and Ping.is_type(got[0].type)
    assert Pong.from_event(got[1]) == Pong("x")
    assert got[2] == Event("consent", CONSENT)
    assert Detection.from_event(got[3]).name == "okay_nabu"
    assert AudioStart.from_event(got[4]) == AudioStart(16000, 2, 1)
    samples = bytes(range(256)) * 2 + bytes(128)
    assert AudioChunk.from_event(got[5]) == AudioChunk(16000, 2, 1, samples)
    assert AudioChunk.from_event(got[6]).audio == samples[:2]
    assert AudioChunk.from_event(got[7]).audio == b"abcd"
    assert AudioStop.is_type(got[8].type)


@given(cuts=st.lists(st.integers(0, 5000), max_size=8))
@settings(max_examples=60, deadline=None)
def test_we_read_what_wyoming_writes(cuts):
    events = [
        Ping("hello").event(),
        Pong().event(),
        Detection(name="okay_nabu", timestamp=123).event(),
        AudioStart(16000, 2, 1, timestamp=0).event(),
        AudioChunk(16000, 2, 1, bytes(range(256)), timestamp=10).event(),
        AudioStop(timestamp=20).event(),
        RunSatellite().event(),
        Describe().event(),
        Transcript("grüß Gott", context={"a": {"b": [1]}}).event(),
        Event("consent", CONSENT),
        Event("stop", {"stream": STREAM}),
    ]
    got, error = decode(b"".join(written(event) for event in events), cuts)
    assert error is None
    want = [(e.type, e.data, e.payload or b"") for e in events]
    assert got == want


def test_data_in_the_header_and_behind_it_are_merged_as_wyoming_merges_them():
    line = b'{"type":"x","data":{"a":1,"b":2},"data_length":7,"payload_length":null}\n{"b":3}'
    got, error = decode(line)
    theirs = read_event(io.BytesIO(line))
    assert error is None and got == [("x", theirs.data, b"")] and theirs.data == {"a": 1, "b": 3}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)
names = st.sampled_from(
    [*protocol.FROM_DEVICE, *protocol.FROM_RECEIVER, *protocol.REFUSED, "info", ""]
)
fields = st.sampled_from(
    (
        "stream keep_recordings share_for_training preroll_ms count text rate width channels "
        "id kind length_ms why percent words"
    ).split()
)


@st.composite
def messages(draw):
    """Bytes that are nearly messages."""
    header = {"type": draw(names | json_values)}
    body = json.dumps(draw(st.dictionaries(fields, json_values, max_size=5))).encode()
    if draw(st.booleans()):
        header["data_length"] = draw(st.sampled_from([len(body)] * 8 + [-1, 0, 4097, "1", 1e9]))
    if draw(st.booleans()):
        header["payload_length"] = draw(st.sampled_from([0, 2, 4, 65536, 65537, None, True]))
    line = bytearray(json.dumps(header).encode() + b"\n" + body + draw(st.binary(max_size=8)))
    for at, byte in draw(
        st.lists(st.tuples(st.integers(0, 9999), st.integers(0, 255)), max_size=2)
    ):
        line[at % len(line)] = byte
    return bytes(line)


@given(data=st.binary(max_size=3000) | messages(), cuts=st.lists(st.integers(0, 3000), max_size=4))
@settings(max_examples=400, deadline=None)
def test_anything_is_decoded_or_refused_and_never_by_how_it_is_cut(data, cuts):
    events, error = decode(data)
    assert decode(data, cuts) == (events, error) or "nan" in repr(events)
    for kind, fields, payload in events:
        assert isinstance(kind, str) and isinstance(fields, dict) and isinstance(payload, bytes)


@given(
    raw=st.binary(max_size=200)
    | st.text('{}[]:,"\\IN\t\x1f z0', max_size=200).map(str.encode)
    | messages()
)
@settings(max_examples=600, deadline=None)
def test_the_quick_look_takes_nothing_that_the_long_one_refuses(raw):
    if protocol._is_plain(raw):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(protocol, "_is_plain", lambda raw: False)
            protocol._bound(raw, "line")


BOTH = """
import sys, json, binascii
from satellite import protocol
for line in sys.stdin:
    decoder = protocol.Decoder(protocol.MAX_PAYLOAD_BYTES)
    types, error = [], None
    try:
        for event in decoder.feed(binascii.a2b_base64(line)):
            types.append([event.type, sorted(event.data)])
    except protocol.ProtocolError as caught:
        error = str(caught)
    print(json.dumps([types, error]))
"""


def test_micropython_accepts_what_cpython_accepts_and_reads_it_alike(run_micropython):
    """Its JSON reader is more lenient, about commas for instance; it never is stricter."""
    cases = []

    @given(data=st.binary(max_size=200) | messages())
    @settings(max_examples=500, deadline=None, database=None, derandomize=True)
    def collect(data):
        cases.append(data)

    collect()
    lines = b"".join(base64.b64encode(case) + b"\n" for case in cases)
    answers = run_micropython(BOTH, stdin=lines).decode().splitlines()
    assert len(answers) == len(cases)
    alike = lenient = 0
    for case, answer in zip(cases, answers, strict=True):
        events, error = decode(case)
        want = [[kind, sorted(data)] for kind, data, _ in events]
        got, other_error = json.loads(answer)
        if got == want and (error is None) == (other_error is None):
            alike += 1
        else:
            assert error is not None and "JSON" in error, (case, want, error, got, other_error)
            lenient += 1
    assert alike > 20 * lenient, (alike, lenient)


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
def test_numbers_that_are_not_json_are_refused(word):
    """CPython's reader would take them, MicroPython's would not: both ends must agree."""
    with pytest.raises(protocol.ProtocolError, match="not JSON"):
        list(protocol.Decoder(0).feed(b'{"type":"ping","data":{"text":%s}}\n' % word.encode()))
    inside = b'{"type":"ping","data":{"text":"NaN Infinity"}}\n'
    assert [event.data for event in protocol.Decoder(0).feed(inside)] == [{"text": "NaN Infinity"}]
