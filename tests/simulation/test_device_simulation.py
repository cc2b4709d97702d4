"""The whole device, simulated: what its light shows, when its microphone is on, what leaves.

`simulated.simulate` checks the promises on every trace; here is what each situation adds.
"""

import hashlib
import json
import struct
import wave

import numpy as np
import pytest

from firmware.satellite.config import Config
from host_tools.board.definition import load_board
from host_tools.errors import HostToolError
from host_tools.simulation import scenario
from tests.fakes.receivers import kept_wav
from tests.fakes.simulated import (
    HOLD_MS,
    records,
    silence,
    simulate,
    sound,
    states,
    wake_and_command,
)

#: How often the light is driven and read back while nothing changes.
LOOK_MS = 50


def sent_of(result):
    return [stream for stream in result.streams.all if stream.samples]


def slice_sha256(samples, stream):
    cut = samples[stream.samples_from : stream.samples_to]
    return hashlib.sha256(cut.astype("<i2").tobytes()).hexdigest()


def test_a_command_leaves_from_its_first_word_to_its_end(tmp_path):
    samples = wake_and_command()
    result = simulate(tmp_path, samples)
    (detection,) = result.detections
    (stream,) = result.streams.all
    # The command is from 2.2 s to about 4.8 s; then 0.8 s of quiet.
    assert detection["t_ms"] * 16 <= stream.samples_from <= 2.2 * 16000
    assert stream.reason == "end-of-speech"
    assert 4.8 * 16000 < stream.samples_to < 6.4 * 16000
    assert stream.samples_to - stream.samples_from == stream.samples
    assert stream.is_as_received and stream.received["sha256"] == slice_sha256(samples, stream)
    assert [light["state"] for light in result.of("light")] == [
        "NOT_READY",
        "IDLE",
        "STREAMING",
        "IDLE",
    ]
    assert [event["on"] for event in result.of("mic")] == [True]
    types = [event["type"] for event in result.of("message")]
    assert types == [
        "ping",
        "audit-head",
        "status",
        "consent",
        "detection",
        "audio-start",
        "audio-stop",
        "ping",
    ]
    assert records(result, "wake") == [
        {"model": "okay_nabu", "probability": detection["probability"], "streamed": True}
    ]
    (end,) = records(result, "stream-end")
    assert end["bytes"] == stream.bytes and end["reason"] == "end-of-speech"


def test_each_sample_leaves_at_once(tmp_path):
    result = simulate(tmp_path, wake_and_command())
    sent = result.of("sent")
    assert all(e["samples_to"] - e["samples_from"] == 160 and e["bytes"] == 320 for e in sent)
    held = HOLD_MS // 10  # and then what was heard while that left
    assert all(0 <= e["t_ms"] * 16 - e["samples_to"] <= 16 * HOLD_MS for e in sent)
    assert all(e["t_ms"] * 16 - e["samples_to"] <= 320 for e in sent[held + 2 :])


def test_nothing_leaves_without_a_wake_word(tmp_path):
    result = simulate(tmp_path, wake_and_command()[2 * 16000 :])
    assert result.detections == [] and result.streams.all == []
    assert result.of("sent") == [] and result.streams.bytes == 0


def test_a_wake_word_with_nothing_after_it_sends_nothing(tmp_path):
    samples = sound(wake_and_command()[: 2 * 16000], silence(4))
    result = simulate(tmp_path, samples)
    (stream,) = result.streams.all
    assert stream.reason == "no-speech" and stream.bytes == 0 and result.of("sent") == []
    assert stream.end_ms - stream.wake_ms == 2510
    # The log's newest record is told at the start, never because of a stream that sent nothing.
    assert all(event["t_ms"] < stream.wake_ms for event in result.of("message"))
    (end,) = records(result, "stream-end")
    assert end["reason"] == "no-speech" and end["bytes"] == 0 and end["dropped_chunks"] == 0
    assert [light["state"] for light in result.of("light")][-2:] == ["STREAMING", "IDLE"]


def test_muted_from_the_start_nothing_is_heard(tmp_path):
    result = simulate(tmp_path, wake_and_command(), muted=True)
    assert result.of("mic") == [] and result.probabilities == [[]] and result.streams.all == []
    assert [light["state"] for light in result.of("light")] == ["NOT_READY", "MUTED"]


@pytest.mark.parametrize(
    "action, source",
    [(("press",), "button"), (("switch", "muted"), "switch"), (("request", "mute"), "network")],
)
@pytest.mark.parametrize("at_ms", [2000, 2500, 3335])
def test_mute_in_mid_stream_stops_within_a_chunk(tmp_path, action, source, at_ms):
    result = simulate(tmp_path, wake_and_command(), [(at_ms, *action)])
    (stream,) = result.streams.all
    assert stream.reason == "mute" and stream.end_ms - at_ms < 20
    if at_ms == 2000:  # nobody has spoken yet
        assert stream.samples_to is None and result.of("speech") == []
    else:
        assert at_ms * 16 - 320 <= stream.samples_to <= (at_ms + 10) * 16
    assert result.of("mic")[-1]["on"] is False and result.of("mic")[-1]["t_ms"] <= at_ms + 20
    order = [e["event"] for e in result.events if e["t_ms"] >= at_ms]
    assert order.index("state") < order.index("mic") < order.index("light")
    assert result.of("light")[-1]["state"] == "MUTED"
    assert records(result, "mute")[-1] == {"on": True, "source": source}


def test_while_muted_nobody_is_heard_and_a_press_opens(tmp_path):
    two = sound(wake_and_command(), wake_and_command())
    result = simulate(tmp_path, two, [(100, "press"), (6600, "press")])
    assert [d["t_ms"] > 6600 for d in result.detections] == [True]
    assert all(not 110 < at_ms <= 6600 for at_ms in result.times_ms[0])
    assert [event["on"] for event in result.of("mic")] == [True, False, True]


def test_the_switch_wins_over_the_button(tmp_path):
    rows = [(500, "switch", "muted"), (1000, "press"), (1500, "switch", "open")]
    result = simulate(tmp_path, silence(2), rows)
    assert [s for _, s, _ in states(result)] == ["IDLE", "MUTED", "IDLE"]
    assert states(result)[-1][0] in (1550, 1560)  # once it has not flickered for 50 ms


def test_on_a_board_with_a_switch_alone_moving_it_mutes_and_unmutes(tmp_path):
    board = load_board("ONJU_VOICE_V3")
    rows = [(500, "switch", "muted"), (1000, "switch", "open"), (1500, "request", "mute")]
    rows += [(2000, "switch", "muted"), (2500, "switch", "open")]
    result = simulate(tmp_path, silence(3), rows, board=board)
    assert [s for _, s, _ in states(result)] == ["IDLE", *["MUTED", "IDLE"] * 2]
    assert [(record["on"], record["source"]) for record in records(result, "mute")] == [
        (False, "boot"),  # open from the start: nobody unmuted it
        *((True, "switch"), (False, "switch")),
        *((True, "network"), (False, "switch")),
    ]


def test_a_board_with_a_light_of_one_colour(tmp_path):
    board = load_board("ESPRESSIF_S3_EYE")
    rows = [(500, "press"), (1500, "press")]
    result = simulate(tmp_path, wake_and_command(), rows, board=board)
    lights = result.of("light")
    assert {len(set(event["rgb"])) for event in lights} == {1}
    assert [event["state"] for event in lights][:4] == ["NOT_READY", "IDLE", "MUTED", "IDLE"]
    assert all(max(event["rgb"]) > 0 for event in lights if event["mic"])


@pytest.mark.parametrize(
    "board, row, part",
    [
        ("ONJU_VOICE_V3", (100, "press"), "button"),
        ("ESPRESSIF_S3_EYE", (100, "switch", "muted"), "mute switch"),
    ],
)
def test_a_board_without_the_part_is_refused(board, row, part):
    events = scenario.check([dict(zip(("t_ms", "action", "value"), row, strict=False))])
    with pytest.raises(HostToolError, match=f"{board} has no {part}: .* at 100 ms"):
        scenario.require_board(events, load_board(board))


@pytest.mark.parametrize("muted", [False, True])
def test_the_network_can_mute_and_nothing_else(tmp_path, muted):
    asked = ["unmute", "listen", "run-pipeline", "run-satellite", "start-streaming", "detect"]
    rows = [(400 + 100 * i, "request", kind) for i, kind in enumerate(asked)]
    result = simulate(tmp_path, silence(2), rows, muted=muted)
    assert [record["what"] for record in records(result, "refused")] == asked
    assert {record["source"] for record in records(result, "refused")} == {"network"}
    assert [s for _, s, _ in states(result)] == ["MUTED" if muted else "IDLE"]
    assert result.streams.all == [] and len(result.of("mic")) == (0 if muted else 1)


def test_a_receiver_that_does_not_acknowledge_gets_nothing(tmp_path):
    result = simulate(tmp_path, wake_and_command(), [(0, "receiver-consents", False)])
    (stream,) = result.streams.all
    assert stream.bytes == 0 and stream.reason == "no-consent"
    assert "audio-start" not in [event["type"] for event in result.of("message")]


def test_a_receiver_can_end_a_stream(tmp_path):
    result = simulate(tmp_path, wake_and_command(), [(3000, "request", "stop")])
    (stream,) = result.streams.all
    assert stream.reason == "receiver" and stream.end_ms in (3000, 3010)
    assert states(result)[-1][1] == "IDLE"


def test_a_network_that_goes_ends_the_stream_and_comes_back(tmp_path):
    samples = sound(wake_and_command(), wake_and_command())
    script = [(3000, "network", "down"), (4000, "network", "up")]
    result = simulate(tmp_path, samples, script)
    first, second = result.streams.all
    assert first.reason == "network" and first.end_ms in (3000, 3010) and first.is_as_received
    assert second.reason == "end-of-speech" and second.is_as_received
    types = [event["type"] for event in result.of("message")]
    assert types.count("ping") == 3  # one a connection, one after the stream
    assert second.samples_from >= second.wake_ms * 16, "late audio"


def test_a_wake_word_without_a_connection_sends_nothing(tmp_path):
    script = [(0, "network", "down"), (3000, "network", "up")]
    result = simulate(tmp_path, wake_and_command(), script)
    assert len(result.detections) == 1 and result.streams.all == [] and result.of("sent") == []
    assert records(result, "wake")[0]["streamed"] is False
    assert "STREAMING" not in [light["state"] for light in result.of("light")]


def test_a_slow_network_sends_no_late_audio(tmp_path):
    result = simulate(tmp_path, wake_and_command(), [(2900, "network-delay-ms", 2000)])
    (stream,) = result.streams.all
    assert stream.reason == "late" and stream.end_ms - 2900 <= 1500
    limit_ms = 1000 + HOLD_MS + 10
    assert all(e["t_ms"] * 16 - e["samples_to"] <= 16 * limit_ms for e in result.of("sent"))
    result = simulate(tmp_path, wake_and_command(), [(2200, "network", "silent")])
    assert result.streams.all[0].reason in ("late", "no-consent")


def test_a_somewhat_slow_network_delivers(tmp_path):
    samples = wake_and_command()
    result = simulate(tmp_path, samples, [(500, "network-delay-ms", 100)])
    (stream,) = result.streams.all
    assert stream.wake_ms * 16 <= stream.samples_from <= 2.2 * 16000 and stream.bytes


@pytest.mark.parametrize("at_ms", [0, 500, 2500])
def test_a_light_that_fails_keeps_the_microphone_off(tmp_path, at_ms):
    result = simulate(tmp_path, wake_and_command(), [(at_ms, "light-fails", True)])
    assert states(result)[-1][1] == "ERROR" and records(result, "fault")[-1] == {"what": "light"}
    last = result.of("mic")[-1:]
    assert not last or not last[0]["on"] and last[0]["t_ms"] <= at_ms + LOOK_MS
    assert all(e["t_ms"] <= at_ms + LOOK_MS for e in result.of("sent"))


def test_after_a_light_failure_nobody_listens_before_two_presses(tmp_path):
    script = [(500, "light-fails", True), (1000, "light-fails", False)]
    script += [(1500, "press"), (2000, "press")]
    result = simulate(tmp_path, silence(3), script)
    assert [(s, t) for t, s, _ in states(result)[-2:]] == [("MUTED", 1500), ("IDLE", 2000)]
    assert [(e["t_ms"], e["on"]) for e in result.of("mic")][-1] == (2000, True)
    assert not any(500 < at_ms <= 2000 for at_ms in result.times_ms[0][0:1])


def test_a_microphone_that_fails_closes_the_gate(tmp_path):
    result = simulate(tmp_path, wake_and_command(), [(3000, "microphone-fails", True)])
    assert states(result)[-1][1] == "ERROR"
    assert records(result, "fault")[-1] == {"what": "microphone"}
    assert result.of("mic")[-1]["on"] is False
    assert all(e["t_ms"] <= 3010 for e in result.of("sent"))


def test_what_cannot_be_recorded_does_not_happen(tmp_path):
    result = simulate(tmp_path, wake_and_command(), [(500, "disk-full", True)])
    assert result.of("sent") == [] and "ERROR" in [s for _, s, _ in states(result)]


def test_a_full_disk_does_not_keep_a_mute_from_being_stored(tmp_path):
    script = [(500, "disk-full", True), (600, "press"), (1000, "power-loss", 200)]
    result = simulate(tmp_path, silence(3), script)
    assert not any(event["on"] for event in result.of("mic") if event["t_ms"] > 500)


@pytest.mark.parametrize("at_ms", [10, 700, 1900, 2000, 3000, 4990])
@pytest.mark.parametrize("muted", [False, True])
def test_after_a_power_loss_it_is_as_it_was(tmp_path, at_ms, muted):
    script = [(at_ms, "power-loss", 200)]
    result = simulate(tmp_path, wake_and_command(), script, muted=muted)
    after = [s for t_ms, s, _ in states(result) if t_ms == at_ms + 200]
    assert after[0] == ("MUTED" if muted else "IDLE")
    assert not any(at_ms < e["t_ms"] < at_ms + 200 for e in result.of("sent"))
    assert all(s.reason in ("power", "end-of-speech", "end of input") for s in result.streams.all)


@pytest.mark.parametrize("later_ms", [0, 10, 20, 50])
@pytest.mark.parametrize("in_stream", [False, True])
def test_a_mute_survives_a_power_loss_right_after_it(tmp_path, in_stream, later_ms):
    """Whatever light or log have said holds afterwards; 10 ms after the press they have."""
    samples = wake_and_command() if in_stream else silence(4)
    script = [(3000, "press"), (3000 + later_ms, "power-loss", 500)]
    result = simulate(tmp_path, samples, script)
    assert bool(result.streams.all) is in_stream
    lost = [event["event"] for event in result.events].index("power")
    is_shown = any(
        event["event"] == "light" and event["state"] == "MUTED" for event in result.events[:lost]
    )
    is_recorded = any(
        event["event"] == "audit" and event["kind"] == "mute" and event["on"]
        for event in result.events[:lost]
    )
    assert is_shown is is_recorded is (later_ms >= 10)
    assert states(result)[-1][1] == "MUTED" or later_ms == 0


def test_an_unmute_survives_too(tmp_path):
    script = [(1000, "press"), (2000, "power-loss", 500)]
    result = simulate(tmp_path, silence(3), script, muted=True)
    assert states(result)[-1][1] == "IDLE"


def test_preroll_is_what_the_owner_set_and_is_recorded(tmp_path):
    samples = wake_and_command()
    result = simulate(tmp_path, samples, config={"preroll_ms": 500})
    (stream,) = result.streams.all
    speech_ms = result.of("speech")[0]["t_ms"]
    assert stream.samples_from == max(stream.wake_ms - 500, speech_ms - HOLD_MS - 500) * 16
    assert stream.received["sha256"] == slice_sha256(samples, stream)
    assert records(result, "stream-start")[0]["preroll_ms"] == 500


def test_a_words_sensitivity_is_the_owners(tmp_path):
    """Each inference more in the window delays the detection by 30 ms; no new model is made."""
    times_ms = []
    for window in (5, 8):
        sensitivity = {"okay_nabu": {"sliding_window_size": window}}
        result = simulate(tmp_path, wake_and_command(), config={"sensitivity": sensitivity})
        times_ms.append(result.streams.all[0].wake_ms)
    assert 30 <= times_ms[1] - times_ms[0] <= 90, times_ms
    sensitivity = {"okay_nabu": {"probability_cutoff": 0.99, "sliding_window_size": 50}}
    result = simulate(tmp_path, wake_and_command(), config={"sensitivity": sensitivity})
    assert result.streams.all == []


def test_a_cutoff_that_the_network_raised_survives_a_power_loss(tmp_path):
    """The receiver asks for 0.99, the highest; when it asks again, that is refused."""
    low = {"okay_nabu": {"probability_cutoff": 0.2, "sliding_window_size": 50}}
    result = simulate(tmp_path, wake_and_command(), config={"sensitivity": low})
    assert len(result.streams.all) == 1
    script = [(200, "request", "sensitivity"), (300, "request", "sensitivity")]
    script.append((500, "power-loss", 100))
    (tmp_path / "raised").mkdir()
    result = simulate(tmp_path / "raised", wake_and_command(), script, config={"sensitivity": low})
    assert result.streams.all == []
    (record,) = records(result, "sensitivity")
    assert record["model"] == "okay_nabu" and record["cutoff_thousandths"] == 990
    assert [r["what"] for r in records(result, "refused")] == ["sensitivity"]


def test_a_real_receiver_raises_a_cutoff_once(tmp_path):
    script = [(1000, "request", "sensitivity"), (1500, "request", "sensitivity")]
    result = simulate(tmp_path, silence(3), script, with_receiver=True)
    (record,) = records(result, "sensitivity")
    assert record["cutoff_thousandths"] == 990 and record["source"] == "network"
    assert [r["what"] for r in records(result, "refused")] == ["sensitivity"]


def test_a_stream_has_a_hard_cap(tmp_path, figure):
    result = simulate(tmp_path, wake_and_command(), config={"max_stream_ms": 1000})
    (stream,) = result.streams.all
    assert stream.reason == "cap" and stream.samples == 16000
    default_ms = Config.defaults().max_stream_ms
    figure(f"a stream that nobody ends is cut after {default_ms // 1000} s")


def test_over_real_tls_the_receiver_has_exactly_what_left(tmp_path):
    samples = sound(wake_and_command(), wake_and_command())
    script = [(600, "request", "run-pipeline"), (10000, "press"), (10500, "request", "unmute")]
    result = simulate(tmp_path, samples, script, with_receiver=True)
    first, second = sent_of(result)
    assert (first.reason, second.reason) == ("end-of-speech", "mute")
    for stream in (first, second):
        assert stream.received["sha256"] == slice_sha256(samples, stream), stream
    assert [r["what"] for r in records(result, "refused")] == ["run-pipeline", "unmute"]


def test_recordings_kept_with_consent_are_the_input(tmp_path, monkeypatch):
    samples = wake_and_command()
    kept = []
    from host_tools.simulation.loopback import LoopbackReceiver

    end = LoopbackReceiver.end

    def ending(self):
        streams = end(self)
        kept.extend(kept_wav(p.parent, p.stem) for p in sorted(self._data.rglob("*.sealed")))
        return streams

    monkeypatch.setattr(LoopbackReceiver, "end", ending)
    result = simulate(tmp_path, samples, with_receiver=True, config={"keep_recordings": True})
    (stream,) = result.streams.all
    (tmp_path / "kept.wav").write_bytes(kept[0])
    with wave.open(str(tmp_path / "kept.wav")) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16000, 1, 2)
        data = file.readframes(file.getnframes())
    assert len(kept) == 1
    assert data == samples[stream.samples_from : stream.samples_to].astype("<i2").tobytes()
    kept.clear()
    simulate(tmp_path, samples, with_receiver=True)
    assert kept == []


def test_the_audit_log_holds_what_the_trace_says(tmp_path):
    script = [(3000, "press"), (4000, "power-loss", 500)]
    result = simulate(tmp_path, wake_and_command(), script, storage=tmp_path / "disk")
    lines = (tmp_path / "disk" / "audit.jsonl").read_bytes().splitlines()
    kinds = [json.loads(line)["kind"] for line in lines]
    assert kinds == [event["kind"] for event in result.of("audit")]
    assert kinds.count("boot") == 2 and "stream-end" in kinds
    for line in lines:
        assert struct.calcsize("<h") and len(line) < 512 and b"samples" not in line


def test_the_same_run_gives_the_same_events(tmp_path):
    script = [(3000, "network", "down"), (3500, "network", "up"), (5000, "power-loss", 100)]
    samples = sound(wake_and_command(), wake_and_command())
    first = simulate(tmp_path, samples, script)
    again = simulate(tmp_path, samples, script)
    assert first.events == again.events and len(first.of("sent")) > 100


def test_the_devices_log_and_the_receivers_history_tell_of_the_same_streams(tmp_path, monkeypatch):
    """A whole stream, one that a mute cut off, and one that a power loss did."""
    from host_tools.audit.device_log import find, read
    from host_tools.audit.stream_check import check_streams
    from host_tools.receiver.history import HISTORY_FILE, History
    from host_tools.simulation.loopback import LoopbackReceiver

    rows = []
    end = LoopbackReceiver.end

    def ending(self):
        streams = end(self)
        history = History(self._data / HISTORY_FILE)
        rows.extend(history.page()[::-1])
        history.close()
        return streams

    monkeypatch.setattr(LoopbackReceiver, "end", ending)
    once = wake_and_command()
    length_ms = len(once) * 1000 // 16000
    heard_ms = simulate(tmp_path, once).streams.all[0].samples_from * 1000 // 16000
    samples = np.concatenate([once] * 3)
    script = [
        (length_ms + heard_ms + 600, "press"),
        (2 * length_ms - 200, "press"),
        (2 * length_ms + heard_ms + 600, "power-loss", 500),
    ]
    simulate(tmp_path, samples, script, with_receiver=True, storage=tmp_path / "disk")
    log = read(find((str(tmp_path / "disk"),)), None)
    assert not log.problems and len(rows) == 3, rows
    done = check_streams(log.records, [None] * len(log.records), rows)
    assert done.problems == [] and done.matched == 2, (done, rows)
    sizes = [record["bytes"] for record in log.records if record["kind"] == "stream-end"]
    assert len(set(sizes)) == 2 and min(sizes) > 0, sizes
    lost = check_streams(log.records, [None] * len(log.records), rows[1:])
    assert len(lost.problems) == 1, lost
