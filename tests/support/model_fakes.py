"""A hub on this machine, and models that come from it: for the tests of fetching."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from engines.models.manifest import Model

WEIGHTS = bytes(range(256)) * 5000
REVISION = "0123abc"
MODEL_PAGE = f"/maker/tiny/resolve/{REVISION}/model.bin"


class Hub(ThreadingHTTPServer):
    """A hub on this machine: `pages` by address; counts what was asked for."""

    daemon_threads = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), HubPage)
        self.pages = {MODEL_PAGE: WEIGHTS}
        self.asked: list[str] = []
        self.short_by_bytes = 0
        self.stalled = threading.Event()
        self.stall_after_bytes: int | None = None
        self.release = threading.Event()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class HubPage(BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        page = self.server.pages.get(self.path)
        if page is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        if self.server.stall_after_bytes is not None:
            self.wfile.write(page[: self.server.stall_after_bytes])
            self.wfile.flush()
            self.server.stalled.set()
            self.server.release.wait(120)
            return
        self.wfile.write(page[: len(page) - self.server.short_by_bytes])

    def log_message(self, *_: object) -> None:
        """Silence."""


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def entry(origin: dict[str, object]) -> Model:
    return Model.model_validate(
        {"name": "tiny", "role": "test", "licence": "MIT", "origin": [origin]}
    )


def model_of(source: str, files: dict[str, bytes]) -> Model:
    listed = [
        {"path": path, "sha256": sha256(data), "bytes": len(data)} for path, data in files.items()
    ]
    return Model.model_validate(
        {
            "name": "tiny",
            "role": "test",
            "licence": "MIT",
            "origin": [{"source": source, "files": listed}],
        }
    )


def hub_model() -> Model:
    return model_of(f"hf:maker/tiny@{REVISION}", {"model.bin": WEIGHTS})


def ignore_progress(_done_bytes: int, _total_bytes: int) -> None:
    pass


def left_behind(cache_dir: Path) -> list[str]:
    return sorted(path.name for path in (cache_dir / "models").iterdir() if path.name != ".lock")
