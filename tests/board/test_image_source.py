"""Where the image comes from: files, the cache, and a real HTTP server on this computer."""

import hashlib
import http.server
import socket
import threading
from dataclasses import replace

import pytest

from host_tools.board import image_source as image_download
from host_tools.board.definition import load_board
from host_tools.board.flash_image import MAX_IMAGE_BYTES
from host_tools.errors import HostToolError

BOARD = load_board("ESPRESSIF_S3_EYE")
IMAGE = b"\xe9 the image" * 20_000


class Server(http.server.ThreadingHTTPServer):
    """Gives `body` at every path, but may say that it is longer; `asked` counts."""

    body, says_bytes, status, asked = IMAGE, len(IMAGE), 200, 0


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked += 1
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(self.server.says_bytes))
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setattr(image_download, "CACHE", tmp_path / "cache")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server(("127.0.0.1", 0), _Handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.02,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def pinned(server, data=IMAGE):
    """The board, whose image is at the server and has this data's SHA-256."""
    url = f"http://127.0.0.1:{server.server_port}/resources/image-v1.28.0.bin"
    sha256 = hashlib.sha256(data).hexdigest()
    return replace(BOARD, micropython=replace(BOARD.micropython, image=url, sha256=sha256))


def cached():
    folder = image_download.CACHE
    return [path.name for path in folder.iterdir()] if folder.exists() else []


def get_image(board, given, note=pytest.fail):
    return image_download.get_image(board, given, note)


def refused(board, words):
    with pytest.raises(HostToolError, match=words) as caught:
        get_image(board, None)
    assert BOARD.micropython.page in caught.value.hint
    assert "--image image-v1.28.0.bin" in caught.value.hint
    assert cached() == []


def test_downloads_once(server):
    board = pinned(server)
    for _ in range(2):
        path, data = get_image(board, None)
        assert data == IMAGE == path.read_bytes()
    assert server.asked == 1 and cached() == ["image-v1.28.0.bin"]
    path.write_bytes(b"damaged")
    assert get_image(board, None) == (path, IMAGE)
    assert server.asked == 2 and path.read_bytes() == IMAGE


def test_what_is_not_pinned_is_refused_and_not_kept(server):
    refused(pinned(server, b"another"), "is not the image that board.json pins")
    server.status = 404
    refused(pinned(server), "cannot be downloaded: Not Found")


def test_an_interrupted_download_leaves_nothing(server):
    server.says_bytes = len(IMAGE) + 1
    refused(pinned(server), f"ended after {len(IMAGE)} bytes")


def test_at_most_the_largest_image_is_read(server):
    server.body = b"\xe9" * (MAX_IMAGE_BYTES + (1 << 20))
    server.says_bytes = len(server.body)
    refused(pinned(server), "is not the image that board.json pins")


def test_offline(server):
    board = pinned(server)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/resources/image-v1.28.0.bin"
    refused(replace(board, micropython=replace(board.micropython, image=url)), "refused")


def test_a_server_that_speaks_something_else(server):
    with socket.create_server(("127.0.0.1", 0)) as other:

        def answer():
            connection, _ = other.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        url = f"http://127.0.0.1:{other.getsockname()[1]}/resources/image-v1.28.0.bin"
        board = pinned(server)
        refused(replace(board, micropython=replace(board.micropython, image=url)), "SSH-2.0")
        thread.join()


def test_a_cache_that_cannot_be_written(server):
    image_download.CACHE.write_bytes(b"a file where the folder should be")
    with pytest.raises(HostToolError, match="cache") as caught:
        get_image(pinned(server), None)
    assert "--image" in caught.value.hint


def test_no_download_without_a_pinned_sum(server):
    board = pinned(server)
    unpinned = replace(board, micropython=replace(board.micropython, sha256=None))
    refused(unpinned, "not pinned")
    assert server.asked == 0


def test_a_given_file(tmp_path, server):
    board = pinned(server)
    notes = []
    path = tmp_path / "mine.bin"
    path.write_bytes(IMAGE)
    assert get_image(board, path) == (path, IMAGE)
    path.write_bytes(b"my own build")
    assert get_image(board, path, notes.append)[1] == b"my own build"
    assert notes == [f"note: {path} is not the image that board.json pins"]
    with pytest.raises(HostToolError, match="No such file"):
        get_image(board, tmp_path / "nothing.bin")
    assert server.asked == 0
