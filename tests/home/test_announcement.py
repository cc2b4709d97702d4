"""What Home Assistant announces: fetched from Home Assistant alone, and within limits."""

import contextlib
import io
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import soundfile

from host_tools.home import announcement
from host_tools.home.announcement import MAX_BYTES, AnnouncementError, decode, fetch, samples_of

HERE = "127.0.0.1"


class Site(BaseHTTPRequestHandler):
    """`answers` has (status, headers, pieces, pause) of each path; `asked` what was asked for."""

    def do_GET(self):
        self.server.asked.append((self.path, self.headers["Host"]))
        status, headers, pieces, pause_s = self.server.answers[self.path]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        with contextlib.suppress(OSError):
            for piece in pieces:
                self.wfile.write(piece)
                self.wfile.flush()
                time.sleep(pause_s)

    def log_message(self, *_):
        pass


@pytest.fixture
def site():
    server = ThreadingHTTPServer((HERE, 0), Site)
    server.answers, server.asked = {}, []
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def url(site, path, host=HERE):
    return f"http://{host}:{site.server_port}{path}"


def audio_file(samples, rate_hz=16000, kind="WAV"):
    file = io.BytesIO()
    soundfile.write(file, samples, rate_hz, format=kind)
    return file.getvalue()


def tone(rate_hz, seconds=0.5, channels=1):
    at = np.arange(round(rate_hz * seconds)) / rate_hz
    return np.repeat(0.5 * np.sin(2 * np.pi * 440 * at)[:, None], channels, axis=1)


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3"])
@pytest.mark.parametrize("rate_hz, channels", [(16000, 1), (44100, 2), (22050, 1)])
def test_audio_of_every_kind_becomes_16_khz_mono(kind, rate_hz, channels):
    pcm = np.frombuffer(decode(audio_file(tone(rate_hz, 0.5, channels), rate_hz, kind)), "<i2")
    assert abs(len(pcm) - 8000) < 0.1 * 16000
    middle = pcm[2000:6000].astype(float)
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(4000)))
    assert abs(np.argmax(spectrum) * 16000 / 4000 - 440) < 5
    assert 0.4 < np.max(np.abs(middle)) / 32768 < 0.6


def test_16_khz_mono_passes_bit_for_bit():
    samples = np.random.default_rng(3).integers(-32768, 32767, 5000, dtype=np.int16)
    assert decode(audio_file(samples)) == samples.tobytes()


def test_a_file_is_fetched_and_decoded(site):
    content = audio_file(np.arange(1000, dtype=np.int16))
    length = {"Content-Length": str(len(content))}
    site.answers["/api/tts_proxy/x.wav?a=b"] = (200, length, [content], 0)
    got = samples_of(url(site, "/api/tts_proxy/x.wav?a=b"), HERE)
    assert got == np.arange(1000, dtype=np.int16).tobytes()


def test_whatever_host_is_named_home_assistant_itself_is_asked(site):
    """`bank.example` is looked up nowhere: the connection goes to the peer."""
    site.answers["/x"] = (200, {}, [b"content"], 0)
    assert fetch(url(site, "/x", "bank.example"), HERE) == b"content"
    assert site.asked == [("/x", f"bank.example:{site.server_port}")]


def test_a_redirect_leads_nowhere(site):
    for status in (301, 302, 303, 307, 308):
        site.answers["/x"] = (status, {"Location": url(site, "/secret")}, [], 0)
        with pytest.raises(AnnouncementError, match=f"status {status}"):
            fetch(url(site, "/x"), HERE)
    assert {path for path, _ in site.asked} == {"/x"}


@pytest.mark.parametrize("has_length", [True, False])
def test_the_size_is_limited_at_the_limit(site, has_length):
    for count, is_allowed in ((MAX_BYTES, True), (MAX_BYTES + 1, False)):
        headers = {"Content-Length": str(count)} if has_length else {}
        site.answers["/x"] = (200, headers, [bytes(count)], 0)
        if is_allowed:
            assert len(fetch(url(site, "/x"), HERE)) == count
        else:
            with pytest.raises(AnnouncementError, match="larger than 4 MiB"):
                fetch(url(site, "/x"), HERE)


def test_who_sends_a_byte_now_and_then_does_not_win(site, monkeypatch):
    monkeypatch.setattr(announcement, "FETCH_S", 0.2)
    site.answers["/x"] = (200, {"Content-Length": "100"}, [b"x"] * 100, 0.05)
    began_s = time.monotonic()
    with pytest.raises(AnnouncementError, match="it took more than"):
        fetch(url(site, "/x"), HERE)
    assert time.monotonic() - began_s < 2


def test_who_does_so_without_a_length_does_not_win_either(site, monkeypatch):
    monkeypatch.setattr(announcement, "FETCH_S", 0.2)
    site.answers["/x"] = (200, {}, [b"x"] * 100, 0.05)
    with pytest.raises(AnnouncementError, match="it took more than"):
        fetch(url(site, "/x"), HERE)


def test_who_does_so_within_the_handshake_does_not_win_either(monkeypatch):
    monkeypatch.setattr(announcement, "FETCH_S", 0.2)
    with socket.create_server((HERE, 0)) as listener:

        def trickle():
            peer, _ = listener.accept()
            with peer, contextlib.suppress(OSError):
                peer.sendall(b"\x16\x03\x03\x40\x00")  # a handshake record of 16 KiB
                for _ in range(100):
                    peer.sendall(b"\x02")
                    time.sleep(0.05)

        threading.Thread(target=trickle, daemon=True).start()
        began_s = time.monotonic()
        with pytest.raises(AnnouncementError, match="it took more than"):
            fetch(f"https://{HERE}:{listener.getsockname()[1]}/x", HERE)
        assert time.monotonic() - began_s < 2


def test_a_file_that_breaks_off_is_not_taken_for_whole(site):
    site.answers["/x"] = (200, {"Content-Length": "100"}, [b"x" * 50], 0)
    with pytest.raises(AnnouncementError, match="cannot be fetched"):
        fetch(url(site, "/x"), HERE)


@pytest.mark.parametrize(
    "address",
    [
        *("", "x", "file:///etc/passwd", "ftp://127.0.0.1/x", "//127.0.0.1/x", "http://"),
        *("http://user:word@127.0.0.1/x", "http://127.0.0.1:99999/x", "http://127.0.0.1/a b\r\n"),
        *("http://[::1/x", "media-source://tts/x", "http://127.0.0.1/" + "x" * 3000, "http://é/"),
    ],
)
def test_addresses_that_are_none(address):
    with pytest.raises(AnnouncementError, match="its address"):
        fetch(address, HERE)


def test_a_name_that_no_certificate_can_have():
    with (
        socket.create_server((HERE, 0)) as listener,
        pytest.raises(AnnouncementError, match="cannot be fetched"),
    ):
        fetch(f"https://{'a' * 70}:{listener.getsockname()[1]}/x", HERE)


def test_nobody_there():
    with pytest.raises(AnnouncementError, match="cannot be fetched from 127.0.0.1"):
        fetch("http://127.0.0.1:1/x", HERE)


@pytest.mark.parametrize("content", [b"", b"RIFF", b"<html>", bytes(5000)])
def test_what_is_no_audio(content):
    with pytest.raises(AnnouncementError, match="not audio"):
        decode(content)


def test_length_channels_and_rate_are_limited_at_the_limit():
    minute = np.zeros(60 * 8000, np.int16)
    assert len(decode(audio_file(minute, 8000))) == 60 * 32000
    for samples, rate_hz, why in (
        (np.zeros(60 * 8000 + 1, np.int16), 8000, "longer than 60 s"),
        (np.zeros((100, 3), np.int16), 16000, "3 channels"),
        (np.zeros(100, np.int16), 7999, "7999 Hz"),
        (np.zeros(100, np.int16), 96001, "96001 Hz"),
    ):
        with pytest.raises(AnnouncementError, match=why):
            decode(audio_file(samples, rate_hz))


def test_samples_that_are_no_numbers_are_silence():
    broken = np.full(100, np.nan, np.float32)
    broken[50:] = np.inf
    file = io.BytesIO()
    soundfile.write(file, broken, 16000, format="WAV", subtype="FLOAT")
    with np.errstate(all="raise"):
        pcm = np.frombuffer(decode(file.getvalue()), "<i2")
    assert not pcm[:50].any() and (pcm[50:] == 32767).all()
