"""Files that were cut, by their container; whole ones pass, hostile ones end in an error."""

from __future__ import annotations

import os
import struct
import time

import numpy as np
import pytest
import soundfile

from host_tools import cli
from host_tools.audio import containers, files
from host_tools.errors import HostToolError

NOISE = (np.random.default_rng(2).standard_normal(16000) * 3000).astype(np.int16)
FORMATS = {
    "a.wav": {"format": "WAV"},
    "b.wav": {"format": "WAV", "endian": "BIG"},  # RIFX
    "c.wav": {"format": "WAVEX"},
    "d.wav": {"format": "RF64"},
    "e.w64": {"format": "W64"},
    "f.aiff": {"format": "AIFF"},
    "g.au": {"format": "AU"},
    "h.au": {"format": "AU", "endian": "LITTLE"},
    "i.caf": {"format": "CAF"},
    "j.ogg": {"format": "OGG", "subtype": "VORBIS"},
    "k.opus": {"format": "OGG", "subtype": "OPUS"},
    "l.flac": {"format": "FLAC"},
    "m.mp3": {"format": "MP3"},
}


def made(folder, name) -> bytes:
    """A second of noise in one of the formats."""
    path = folder / name
    soundfile.write(path, NOISE, 16000, **FORMATS[name])
    return path.read_bytes()


@pytest.mark.parametrize("name", FORMATS)
def test_a_whole_file_is_whole_and_a_cut_one_says_so(tmp_path, name):
    data = made(tmp_path, name)
    assert files.read(tmp_path / name).size >= 16000
    for size in (len(data) // 2, len(data) * 3 // 4, len(data) - 40):
        (tmp_path / name).write_bytes(data[:size])
        with pytest.raises(HostToolError, match="cut short|damaged") as caught:
            files.open_audio(tmp_path / name)
        if name[-4:] != "flac":
            assert "cut short" in caught.value.message, caught.value.message


@pytest.mark.parametrize("name", ["a.wav", "b.wav", "d.wav", "e.w64", "f.aiff", "g.au", "i.caf"])
def test_one_missing_byte_is_enough(tmp_path, name):
    data = made(tmp_path, name)
    end = data.rfind(NOISE[-8:].astype(">i2" if name[0] in "bfgi" else "<i2").tobytes()) + 16
    assert end > 16, "the audio's last samples"
    (tmp_path / name).write_bytes(data[: end - 1])
    with pytest.raises(HostToolError, match="31999 of 32000 bytes of audio are there"):
        files.open_audio(tmp_path / name)


def test_an_ogg_cut_between_two_pages_misses_its_last(tmp_path):
    data = made(tmp_path, "j.ogg")
    last = data.rfind(b"OggS")
    (tmp_path / "j.ogg").write_bytes(data[:last])
    with pytest.raises(HostToolError, match="the last Ogg page is missing"):
        files.open_audio(tmp_path / "j.ogg")
    (tmp_path / "j.ogg").write_bytes(data[: last + 30])
    with pytest.raises(HostToolError, match="the last Ogg page is incomplete"):
        files.open_audio(tmp_path / "j.ogg")


def with_data_length(data: bytes, length: int) -> bytes:
    out = bytearray(data)
    struct.pack_into("<I", out, 4, 0)
    struct.pack_into("<I", out, out.index(b"data") + 4, length)
    return bytes(out)


@pytest.mark.parametrize("rest", (b"", b"\7"))
def test_the_wav_of_a_killed_recorder_is_read_to_its_end_with_a_note(tmp_path, rest):
    path = tmp_path / "a.wav"
    path.write_bytes(with_data_length(made(tmp_path, "a.wav"), 0) + rest)
    file = files.open_audio(path)
    assert file.samples == 16000 and "its header gives no length" in file.notes[0]
    for _ in range(2):
        assert np.array_equal(np.concatenate(list(file.blocks())), NOISE)


def test_a_wav_without_samples_has_none_also_with_chunks_after_them(tmp_path):
    soundfile.write(tmp_path / "a.wav", NOISE[:0], 16000)
    data = (tmp_path / "a.wav").read_bytes()
    for after in (b"", b"LIST\4\0\0\0INFO", b"LIST\3\0\0\0abc\0"):
        (tmp_path / "a.wav").write_bytes(data + after)
        with pytest.raises(HostToolError, match="no samples"):
            files.open_audio(tmp_path / "a.wav")


@pytest.mark.parametrize("name", ["pcm.raw", "PCM.RAW", "a.pcm"])
def test_headerless_pcm_is_refused_and_says_what_to_do(tmp_path, name):
    (tmp_path / name).write_bytes(NOISE.tobytes())
    with pytest.raises(HostToolError, match="headerless PCM") as caught:
        files.open_audio(tmp_path / name)
    assert "ffmpeg -f s16le -ar 16000 -ac 1" in caught.value.hint


def test_headerless_pcm_does_not_stop_the_other_files(tmp_path, capsys):
    made(tmp_path, "b.wav")
    (tmp_path / "a.raw").write_bytes(NOISE.tobytes())
    cut = made(tmp_path, "m.mp3")
    (tmp_path / "m.mp3").write_bytes(cut[: len(cut) // 2])
    trace = tmp_path / "t.jsonl"
    names = [str(tmp_path / name) for name in ("a.raw", "m.mp3", "b.wav")]
    assert cli.run(["simulate", *names, "--trace", str(trace)]) == 2
    said = capsys.readouterr().err
    assert "a.raw: headerless PCM" in said and "m.mp3: cut short" in said
    assert "Traceback" not in said
    lines = trace.read_text().splitlines()
    assert lines and all("b.wav" in line for line in lines if '"start"' in line)
    assert sum('"start"' in line for line in lines) == 1, "nothing of the bad files"


def test_damage_in_a_flac_is_called_damage_before_anything_is_read(tmp_path):
    data = bytearray(made(tmp_path, "l.flac"))
    data[15000:15400] = bytes(400)
    (tmp_path / "l.flac").write_bytes(data)
    with pytest.raises(HostToolError, match="l.flac: damaged") as caught:
        files.open_audio(tmp_path / "l.flac")
    assert caught.value.hint == "copy or record it again"


def test_a_flac_without_a_length_says_so(tmp_path):
    data = bytearray(made(tmp_path, "l.flac"))
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    (tmp_path / "l.flac").write_bytes(data)
    with pytest.raises(HostToolError, match="gives no length"):
        files.open_audio(tmp_path / "l.flac")


def test_what_the_decoder_prints_stays_off_the_terminal(tmp_path, capfd):
    """libmpg123 writes to file descriptor 2; other output still arrives there afterwards."""
    data = made(tmp_path, "m.mp3")
    half = len(data) // 2
    path = tmp_path / "m.mp3"
    for content in (data[:half], data[:half] + bytes(700) + data[half + 700 :]):
        path.write_bytes(content)
        soundfile.read(path)
        assert capfd.readouterr().err, "it does print"
        with pytest.raises(HostToolError):
            files.read(path)
    said = capfd.readouterr()
    assert (said.out, said.err) == ("", "")
    os.write(2, b"still there")
    assert capfd.readouterr().err == "still there"


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """`data` with bytes changed near its start, cut, grown, or with a length of its headers."""
    out = bytearray(data)
    for at in rng.integers(0, min(len(out), 120), rng.integers(0, 4)):
        out[at] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.integers(256)])
    if rng.random() < 0.4:
        at = int(rng.integers(0, min(len(out) - 8, 120)))
        value = (0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1)[rng.integers(7)]
        out[at : at + 8] = value.to_bytes(8, "little" if rng.random() < 0.5 else "big")
    if rng.random() < 0.4:
        del out[rng.integers(1, len(out)) :]
    return bytes(out)


def test_any_damage_ends_in_audio_or_an_error_and_soon(tmp_path):
    rng = np.random.default_rng(8)
    whole = {name: made(tmp_path, name) for name in FORMATS}
    endings, slowest = {"audio": 0, "error": 0}, 0.0
    for i in range(600):
        name = list(whole)[i % len(whole)]
        path = tmp_path / name
        path.write_bytes(mutated(whole[name], rng))
        start = time.perf_counter()
        try:
            files.read(path)
            endings["audio"] += 1
        except HostToolError as error:
            assert error.message.startswith(str(path)) and error.hint
            endings["error"] += 1
        slowest = max(slowest, time.perf_counter() - start)
    assert min(endings.values()) > 60, endings
    assert slowest < 5


def test_a_header_that_leads_in_circles_ends(tmp_path):
    """Chunks of length 0, or of almost 2**64, for a megabyte."""
    for content in (
        b"RIFF\xff\xff\xff\xffWAVE" + b"abcd\0\0\0\0" * 100_000,
        b"RF64\xff\xff\xff\xffWAVE" + b"ds64\xff\xff\xff\xff" + bytes(1 << 20),
        b"riff" + bytes(36) + bytes(1 << 20),
        b"caff\0\1\0\0" + b"free" + (-1).to_bytes(8, "big", signed=True) + bytes(1 << 20),
        b"FORM\xff\xff\xff\xffAIFF" + b"SSND\0\0\0\0" * 100_000,
        b"OggS" + bytes(23) + b"OggS" + bytes(1 << 20),
    ):
        path = tmp_path / "a.wav"
        path.write_bytes(content)
        assert isinstance(containers.shortfall(path), str)
        assert containers.length_field(path) == 0
