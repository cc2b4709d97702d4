"""A package registry on this computer: PyPI's simple index and npm's paths, with bad moods."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Registry:
    """What it serves and how: files by name, and what goes wrong next."""

    def __init__(self):
        self.files = {}
        self.requests = []  # (path, range header)
        self.cuts = []  # how many bytes of the next answers are sent before the connection breaks
        self.knows_ranges = True
        self.speaks_json = True
        self.port = 0

    @property
    def environment(self):
        base = f"http://127.0.0.1:{self.port}"
        return {"PIP_INDEX_URL": f"{base}/simple/", "NPM_CONFIG_REGISTRY": base}

    def index(self, package):
        names = [name for name in self.files if name.startswith(package.replace("-", "_"))]
        if self.speaks_json:
            listed = [{"filename": name, "url": f"../../packages/{name}"} for name in names]
            return "application/vnd.pypi.simple.v1+json", json.dumps({"files": listed}).encode()
        links = "".join(f'<a href="/packages/{name}#sha256=0">{name}</a><br>\n' for name in names)
        return "text/html; charset=utf-8", f"<html><body>\n{links}</body></html>".encode()


@contextmanager
def serving():
    """Serve a Registry on a free port; yields it."""
    registry = Registry()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            registry.requests.append((self.path, self.headers.get("Range")))
            parts = self.path.strip("/").split("/")
            if parts[0] == "simple":
                kind, content = registry.index(parts[1])
                self.answer(200, content, kind)
            elif parts[-1] in registry.files and parts[0] in ("packages", "sounds-js"):
                self.send_file(registry.files[parts[-1]])
            else:
                self.send_error(404)

        def send_file(self, content):
            asked = self.headers.get("Range")
            if asked and registry.knows_ranges:
                self.answer(206, content[int(asked.removeprefix("bytes=").rstrip("-")) :])
            else:
                self.answer(200, content)

        def answer(self, status, content, kind="application/octet-stream"):
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            is_file = kind.startswith("application/octet")
            self.wfile.write(
                content[: registry.cuts.pop(0)] if is_file and registry.cuts else content
            )

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    registry.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield registry
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
