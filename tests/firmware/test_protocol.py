"""The messages on any runtime: limits at and one past, what is malformed, audio unallocated."""

import json

from satellite import protocol

STREAM = "00ff00ff00ff00ff"
CONSENT = {
    "stream": STREAM,
    "keep_recordings": False,
    "share_for_training": False,
    "preroll_ms": 500,
}
STATUS = {
    "speaker": True,
    "muted": False,
    "switch": False,
    "listening": True,
    "volume": 60,
    "volume_max": 80,
    "words": ["okay_nabu"],
    "keep_recordings": False,
    "share_for_training": False,
    "timers": True,
    "announcements": False,
    "firmware": "0.1.0",
    "withdraw": True,
}
REPLY = {"id": STREAM, "kind": "reply", "stream": STREAM, "length_ms": 30000}
NOBODY = "0123456789abcdef"


def decode(data, max_payload_bytes=0, step=None):
    """The events in `data`, fed `step` bytes at a time, or the words of the ProtocolError."""
    decoder = protocol.Decoder(max_payload_bytes)
    events = []
    try:
        for at in range(0, len(data), step or max(1, len(data))):
            for event in decoder.feed(data[at : at + (step or len(data))]):
                events.append((event.type, event.data, event.payload))
    except protocol.ProtocolError as error:
        return str(error)
    return events


def refused(data, words, max_payload_bytes=0):
    got = decode(data, max_payload_bytes)
    assert isinstance(got, str) and words in got, (data[:80], got)
    assert decode(data, max_payload_bytes, 1) == got, data[:80]


def raises(function, *arguments):
    try:
        function(*arguments)
    except protocol.ProtocolError:
        return True
    return False


def message(type, body):
    """A message of one known type whose data are the JSON text `body`."""
    head = {"type": type, "data_length": len(body)}
    return (json.dumps(head) + "\n" + body).encode()


def test_every_message_comes_back_however_it_is_cut():
    form = {"rate": 16000, "width": 2, "channels": 1}
    messages = (
        (protocol.PING, {}, b""),
        (protocol.PONG, {"text": "hello"}, b""),
        (protocol.DETECTION, {"name": "okay_nabu", "probability": 251}, b""),
        (protocol.CONSENT, CONSENT, b""),
        (protocol.CONSENT_ACCEPTED, {"stream": STREAM}, b""),
        (protocol.CONSENT_WITHDRAWN, {"keep_recordings": False, "share_for_training": True}, b""),
        (protocol.AUDIO_START, form, b""),
        (protocol.AUDIO_CHUNK, form, bytes(range(256)) * 3),
        (protocol.AUDIO_STOP, {}, b""),
        (protocol.STOP, {"stream": STREAM}, b""),
        (protocol.MUTE, {}, b""),
        (protocol.DELETED, {"count": 3}, b""),
        (protocol.STATUS, STATUS, b""),
        (protocol.SPEAK, REPLY, b""),
        (protocol.SPEAK_ACCEPTED, {"id": STREAM, "credit": 32000}, b""),
        (protocol.SPEAK_REFUSED, {"id": STREAM, "why": "busy"}, b""),
        (protocol.CREDIT, {"id": STREAM, "bytes": 3200}, b""),
        (protocol.PLAYED, {"id": STREAM, "ms": 1280, "why": "end"}, b""),
        (protocol.SPEAK_STOP, {"id": STREAM}, b""),
        (protocol.CHIME, {"id": STREAM, "kind": "timer"}, b""),
        (protocol.VOLUME, {"percent": 40}, b""),
        ("run-satellite", {"nested": {"list": [1, None, True, "x"]}}, b""),
    )
    whole = b"".join([protocol.encode(*m) for m in messages])
    for step in (1, 2, 7, 100, 100000):
        assert decode(whole, 4096, step) == list(messages), step


def test_header_limit():
    room = protocol.MAX_HEADER_BYTES - len('{"type":"x","y":""}')
    line = '{"type":"x","y":"%s"}' % ("z" * room)
    assert len(line) == protocol.MAX_HEADER_BYTES
    assert len(decode(line.encode() + b"\n")) == 1
    refused(line.replace("zz", "zzz", 1).encode() + b"\n", "header longer")
    refused(b" " * (protocol.MAX_HEADER_BYTES + 1), "header longer")


def test_data_limit():
    most = protocol.MAX_DATA_BYTES
    body = '{"y":"%s"}' % ("z" * (most - len('{"y":""}')))
    assert len(decode(message("x", body))) == 1
    refused(message("x", body.replace("zz", "zzz", 1)), "data_length above 4096")
    text = "z" * (most - len('{"y":""}'))
    assert len(decode(protocol.encode("x", {"y": text}))) == 1
    assert raises(protocol.encode, "x", {"y": text + "z"})


def test_payload_limit():
    for most in (0, 2, 640, protocol.MAX_PAYLOAD_BYTES):
        for length in (most, most + 1):
            head = json.dumps({"type": "x", "payload_length": length})
            data = head.encode() + b"\n" + bytes(length)
            if length == most:
                assert decode(data, most) == [("x", {}, bytes(length))]
            else:
                got = decode(data, most)
                assert got == "payload_length above " + str(most), got
    assert raises(protocol.encode, "x", None, bytes(protocol.MAX_PAYLOAD_BYTES + 1))


def test_nesting_and_separator_limits():
    for depth in (protocol.MAX_DEPTH, protocol.MAX_DEPTH + 1):
        lists = depth - 1  # within the object
        line = b'{"type":"x","y":' + b"[" * lists + b"]" * lists + b"}\n"
        if depth == protocol.MAX_DEPTH:
            assert len(decode(line)) == 1
        else:
            refused(line, "nested deeper")
    refused(message("x", "[" * 4000), "nested deeper")
    for separators in (protocol.MAX_SEPARATORS, protocol.MAX_SEPARATORS + 1):
        zeros = ",".join(["0"] * (separators - 2))  # besides: { : [
        body = '{"y":[' + zeros + "]}"
        if separators == protocol.MAX_SEPARATORS:
            assert len(decode(message("x", body))) == 1
        else:
            refused(message("x", body), "separators")
    # Inside a string they are no separators.
    assert len(decode(message("x", '{"y":"%s"}' % ('[{,:\\"' * 200)))) == 1


def test_malformed_headers():
    for line, words in (
        (b"", "not JSON"),
        (b"hello", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b'{"type":"ping"', "not JSON"),
        (b"[]", "not a JSON object"),
        (b"1", "not a JSON object"),
        (b"null", "not a JSON object"),
        (b'"ping"', "not a JSON object"),
        (b"{}", "type"),
        (b'{"type":1}', "type"),
        (b'{"type":null}', "type"),
        (b'{"type":""}', "type"),
        (b'{"type":"a b"}', "type"),
        (b'{"type":"pi\\u0000ng"}', "type"),
        (b'{"type":"pi\x00ng"}', "control"),
        (b'{"type":"pi\x1bng"}', "control"),
        (b"\x00", "control"),
        (b'{"type":"%s"}' % (b"x" * 65), "type"),
        (b'{"type":"ping","data":[]}', "data is not"),
        (b'{"type":"ping","data":null}', "data is not"),
        (b'{"type":"ping","data_length":-1}', "data_length"),
        (b'{"type":"ping","data_length":1.5}', "data_length"),
        (b'{"type":"ping","data_length":"1"}', "data_length"),
        (b'{"type":"ping","data_length":true}', "data_length"),
        (b'{"type":"ping","data_length":99999999999999999999}', "data_length"),
        (b'{"type":"ping","payload_length":-1}', "payload_length"),
        (b'{"type":"ping","payload_length":[]}', "payload_length"),
        (b'{"type":"ping","version":2}', "version"),
        (b'{"type":"ping","version":"2.0.0"}', "version"),
        (b'{"type":"ping","version":""}', "version"),
    ):
        refused(line + b"\n", words)
    assert decode(b'{"type":"%s"}\n' % (b"x" * 64)) == [("x" * 64, {}, b"")]


def test_malformed_data():
    for body, words in (
        ("[]", "data is not a JSON object"),
        ("nonsense", "data is not JSON"),
        ("{", "data is not JSON"),
        ('{"text":"\x00"}', "control"),
    ):
        refused(message(protocol.PING, body), words)


def test_fields_out_of_their_range():
    for type, body in (
        (protocol.PING, '{"text":1}'),
        (protocol.PING, '{"text":"%s"}' % ("x" * 65)),
        (protocol.PING, '{"text":"\\u001b[2J"}'),
        (protocol.CONSENT_ACCEPTED, "{}"),
        (protocol.CONSENT_ACCEPTED, '{"stream":1}'),
        (protocol.CONSENT_ACCEPTED, '{"stream":"00ff"}'),
        (protocol.CONSENT_ACCEPTED, '{"stream":"00FF00FF00FF00FF"}'),
        (protocol.STOP, '{"stream":"00ff00ff00ff00ff0"}'),
        (protocol.DELETED, '{"count":-1}'),
        (protocol.DELETED, '{"count":1000001}'),
        (protocol.DELETED, '{"count":true}'),
        (protocol.DELETED, '{"count":1.0}'),
        (protocol.CONSENT_WITHDRAWN, '{"keep_recordings":0,"share_for_training":false}'),
        (protocol.DETECTION, '{"probability":256}'),
        (protocol.DETECTION, '{"timestamp":-1}'),
        (protocol.AUDIO_START, '{"rate":8000,"width":2,"channels":1}'),
        (protocol.AUDIO_START, '{"rate":16000,"width":2}'),
        (protocol.AUDIO_START, '{"rate":16000,"width":2,"channels":true}'),
    ):
        refused(message(type, body), type)
    for name, value in (
        ("stream", None),
        ("keep_recordings", 1),
        ("share_for_training", "yes"),
        ("preroll_ms", -1),
        ("preroll_ms", 501),
        ("version", 2),
    ):
        wrong = dict(CONSENT)
        wrong[name] = value
        assert raises(protocol.encode, protocol.CONSENT, wrong), (name, value)
    assert not raises(protocol.encode, protocol.CONSENT, CONSENT)


def test_payload_where_none_belongs_and_audio_that_is_none():
    refused(b'{"type":"mute","payload_length":2}\nab', "mute with a payload", 640)
    head = b'{"type":"audio-chunk","data":{"rate":16000,"width":2,"channels":1}'
    refused(head + b',"payload_length":3}\nabc', "audio-chunk of 3 bytes", 640)
    refused(head + b"}\n", "audio-chunk of 0 bytes", 640)


def test_after_an_error_nothing_is_read():
    decoder = protocol.Decoder()
    got = []
    data = protocol.encode("mute") + b"nonsense\n" + protocol.encode("mute")
    for _ in range(3):
        assert raises(lambda: [got.append(event.type) for event in decoder.feed(data)])
    assert got == ["mute"], got


def test_is_within_message():
    decoder = protocol.Decoder(640)
    whole = protocol.encode("x", {"a": 1}, b"abcd")
    for at in range(len(whole)):
        assert decoder.is_within_message == (at > 0), at
        for _ in decoder.feed(whole[at : at + 1]):
            assert at == len(whole) - 1
    assert not decoder.is_within_message


def test_audio_chunk_of_every_length():
    chunk = protocol.AudioChunk()
    for count in (2, 10, 98, 320, 322, 640, 998, 1000, 2880, 3198, 3200):
        for i in range(count):
            chunk.payload[i] = (i * 7 + count) & 255
        got = decode(bytes(chunk.message(count)), 3200)
        form = {"rate": 16000, "width": 2, "channels": 1}
        assert got == [(protocol.AUDIO_CHUNK, form, bytes(chunk.payload[:count]))], count


def test_whole_chunks_are_framed_without_allocation():
    import micropython

    chunk = protocol.AudioChunk()
    source = memoryview(bytearray(320))
    lengths = (320, 3200, 640)
    micropython.heap_lock()
    try:
        for count in lengths:
            chunk.payload[0] = source[0]
            chunk.message(count)
    finally:
        micropython.heap_unlock()


def test_what_asks_a_device_to_listen_is_on_the_list_of_the_refused():
    for name in ("unmute", "listen", "detect", "run-satellite", "run-pipeline", "word", "status"):
        assert name in protocol.REFUSED and name not in protocol.FROM_RECEIVER, name
    assert "audio-start" in protocol.REFUSED  # unless it accepted a sound


def test_random_bytes_and_broken_messages_only_ever_raise_protocol_error():
    state = 1
    whole = protocol.encode(protocol.CONSENT, CONSENT) + protocol.encode("x", {"y": [1]}, b"abcd")
    for _ in range(1500):
        data = bytearray(whole)
        for _ in range(state % 3 + 1):
            state = (state * 1103515245 + 12345) & 0x3FFFFFFF
            data[(state >> 8) % len(data)] = state >> 16 & 255
        decode(bytes(data), 64, 13)
    for _ in range(300):
        data = bytearray()
        for _ in range(40):
            state = (state * 1103515245 + 12345) & 0x3FFFFFFF
            data.append(b'{}[]",:\\ntrue1e-.\x00\xff\xc3'[(state >> 12) % 20])
        decode(b'{"type":' + bytes(data) + b"}\n", 64)


def test_a_sensitivity_at_and_past_its_limits():
    def accepted(model, cutoff):
        data = {"model": model, "cutoff_thousandths": cutoff}
        return not raises(lambda: protocol.encode(protocol.SENSITIVITY, data))

    for model, cutoff in (("okay_nabu", 100), ("okay_nabu", 990), ("a", 500), ("A-9_" * 8, 500)):
        assert accepted(model, cutoff), (model, cutoff)
    for cutoff in (99, 991, 0, -100, 500.0, 0.5, "500", True, None, [500], 2**40):
        assert not accepted("okay_nabu", cutoff), cutoff
    for model in ("", "a" * 33, "a b", "a.b", "\u00e4", "a\n", None, 5, ["a"]):
        assert not accepted(model, 500), model
    for data in ({}, {"model": "a"}, {"cutoff_thousandths": 500}):
        assert raises(lambda data=data: protocol.encode(protocol.SENSITIVITY, data)), data
    assert protocol.SENSITIVITY in protocol.FROM_RECEIVER
    assert protocol.SENSITIVITY not in protocol.FROM_DEVICE + protocol.REFUSED


def test_a_request_to_withdraw_has_a_number_and_nothing_that_could_give():
    good = {"id": STREAM}
    bad = (STREAM[1:], STREAM + "0", STREAM.upper(), "g" * 16, 5, None, True, [STREAM])
    refuses_field(protocol.CONSENT_WITHDRAW, good, "id", bad)
    for more in ({}, {"keep_recordings": True, "share_for_training": True, "later": 1}):
        data = dict(good)
        data.update(more)
        ((type, read, _),) = decode(message(protocol.CONSENT_WITHDRAW, json.dumps(data)))
        assert type == protocol.CONSENT_WITHDRAW and read["id"] == STREAM
    assert protocol.CONSENT_WITHDRAW in protocol.FROM_RECEIVER
    assert protocol.CONSENT_WITHDRAW not in protocol.FROM_DEVICE + protocol.REFUSED


def test_the_answer_names_the_request_or_none():
    plain = {"keep_recordings": False, "share_for_training": False}
    assert decode(protocol.encode(protocol.CONSENT_WITHDRAWN, plain))[0][1] == plain
    named = dict(plain)
    named["id"] = STREAM
    assert decode(protocol.encode(protocol.CONSENT_WITHDRAWN, named))[0][1] == named
    refused_values(protocol.CONSENT_WITHDRAWN, named, "id", (STREAM + "0", STREAM[1:], 1, None))
    refuses_field(protocol.CONSENT_WITHDRAWN, named, "keep_recordings", (0, 1, None, "false"))


def refuses_field(type, data, name, values):
    """Every one of `values` is refused in this field, and so is a message without it."""
    refused_values(type, data, name, values)
    body = dict(data)
    del body[name]
    refused(message(type, json.dumps(body)), "%s without %s" % (type, name))


def refused_values(type, data, name, values):
    for value in values:
        body = dict(data)
        body[name] = value
        refused(message(type, json.dumps(body)), "%s: %s" % (type, name))


def test_the_fields_of_a_sound_at_their_limits_and_past_them():
    good = (
        (protocol.SPEAK, {"id": STREAM, "kind": "timer", "length_ms": 1}),
        (protocol.SPEAK, {"id": STREAM, "kind": "announcement", "length_ms": 30000}),
        (protocol.SPEAK_ACCEPTED, {"id": STREAM, "credit": 0}),
        (protocol.CREDIT, {"id": STREAM, "bytes": 1}),
        (protocol.PLAYED, {"id": STREAM, "ms": 0, "why": "fault"}),
        (protocol.PLAYED, {"id": STREAM, "ms": 30000, "why": "limit"}),
        (protocol.CHIME, {"id": STREAM, "kind": "error", "stream": NOBODY}),
        (protocol.VOLUME, {"percent": 0}),
        (protocol.VOLUME, {"percent": 100}),
    )
    for type, data in good:
        assert decode(protocol.encode(type, data)) == [(type, data, b"")], data
    names = ("", "0" * 15, "0" * 17, "G" * 16, "A" * 16, 7, None)
    refuses_field(protocol.SPEAK, REPLY, "id", names)
    refuses_field(protocol.SPEAK, REPLY, "kind", ("", "error", "music", None, 1, ["reply"], {}))
    refuses_field(protocol.SPEAK, REPLY, "length_ms", (0, 30001, -1, 1.0, "1", None, True))
    refuses_field(protocol.SPEAK_ACCEPTED, {"id": STREAM, "credit": 1}, "credit", (-1, 32001, "0"))
    refuses_field(protocol.SPEAK_REFUSED, {"id": STREAM, "why": "off"}, "why", ("", "later", 3))
    refuses_field(protocol.SPEAK_STOP, {"id": STREAM}, "id", names)
    refuses_field(protocol.CREDIT, {"id": STREAM, "bytes": 1}, "bytes", (0, 32001, True, "2"))
    played = {"id": STREAM, "ms": 1, "why": "end"}
    refuses_field(protocol.PLAYED, played, "ms", (-1, 30001, 1.5, None))
    refuses_field(protocol.PLAYED, played, "why", ("network", "", None, 0))
    refuses_field(protocol.CHIME, {"id": STREAM, "kind": "timer"}, "kind", ("reply", "", None))
    refuses_field(protocol.VOLUME, {"percent": 1}, "percent", (-1, 101, 1.0, "1", True, None))


def test_what_answers_a_stream_names_it_and_nothing_else_does():
    for type, kind, answers in (
        (protocol.SPEAK, "reply", True),
        (protocol.SPEAK, "timer", False),
        (protocol.SPEAK, "announcement", False),
        (protocol.CHIME, "error", True),
        (protocol.CHIME, "timer", False),
    ):
        data = {"id": STREAM, "kind": kind, "length_ms": 1}
        for has_stream in (True, False):
            if has_stream:
                data["stream"] = NOBODY
            else:
                del data["stream"]
            body = message(type, json.dumps(data))
            if has_stream == answers:
                assert len(decode(body)) == 1, (type, kind)
            else:
                refused(body, "with or without a stream")


def test_the_fields_of_a_status():
    for name in STATUS:
        value = STATUS[name]
        if name == "firmware":
            continue
        if name == "withdraw":
            refused_values(protocol.STATUS, STATUS, name, (0, 1, None, "true"))
            continue
        if value is True or value is False:
            bad = (0, 1, None, "true")
        elif name == "words":
            bad = ([], ["a"] * 5, ["a b"], "a", [1], None, ["a" * 33])
        else:
            bad = (-1, 101, None, True, "60")
        refuses_field(protocol.STATUS, STATUS, name, bad)
    for name, good, bad in (
        ("off_by", protocol.OFF_REASONS + (None,), ("", "Button", 1, True, ["button"])),
        (
            "cutoffs",
            ([0], [1000, 850, 990, 1], None),
            ([], [1] * 5, [1001], [-1], [0.85], [True], "850", 850, {}),
        ),
    ):
        for value in good:
            data = dict(STATUS)
            data[name] = value
            assert decode(protocol.encode(protocol.STATUS, data)) == [(protocol.STATUS, data, b"")]
        for value in bad:
            data = dict(STATUS)
            data[name] = value
            assert raises(protocol.encode, protocol.STATUS, data), (name, value)
    plain = dict(STATUS)
    del plain["firmware"], plain["withdraw"]
    plain["words"] = ["a" * 32, "b" * 32, "c" * 32, "d" * 32]
    assert decode(protocol.encode(protocol.STATUS, plain)) == [(protocol.STATUS, plain, b"")]
    largest = dict(plain)
    largest["firmware"] = "f" * 64
    largest["withdraw"] = True
    largest["volume"] = largest["volume_max"] = 100
    largest["cutoffs"] = [1000] * 4
    largest["off_by"] = "network"
    for name in largest:
        if largest[name] is True:
            largest[name] = False  # the longer word
    assert len(protocol.encode(protocol.STATUS, largest)) <= 1024


def test_a_status_has_a_limit_of_its_own():
    most = protocol.MAX_STATUS_BYTES
    plain = json.dumps(STATUS)
    padded = plain[:-1] + ', "later": "%s"}'
    room = most - len(padded % "")
    assert len(decode(message(protocol.STATUS, padded % ("x" * room)))) == 1
    refused(message(protocol.STATUS, padded % ("x" * (room + 1))), "status longer than 960")
    more = dict(STATUS)
    more["later"] = "x" * most
    assert raises(protocol.encode, protocol.STATUS, more)
    assert len(decode(protocol.encode("other", more))) == 1


def test_the_limit_of_a_payload_can_be_changed_between_messages():
    form = {"rate": 16000, "width": 2, "channels": 1}
    most = protocol.MAX_SPEECH_PAYLOAD_BYTES
    for size in (most, most + 2):
        decoder = protocol.Decoder(0)
        assert [e.type for e in decoder.feed(protocol.encode(protocol.PING))] == ["ping"]
        decoder.max_payload_bytes = most
        events = decoder.feed(protocol.encode(protocol.AUDIO_CHUNK, form, bytes(size)))
        if size == most:
            assert [len(event.payload) for event in events] == [size]
            decoder.max_payload_bytes = 0
            assert raises(
                list, decoder.feed(protocol.encode(protocol.AUDIO_CHUNK, form, bytes(2)))
            )
        else:
            assert raises(list, events)
