"""Clients that nobody here wrote, in an environment of their own, beside a real daemon.

`make test-clients` runs it; it needs a network the first time.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from daemon.client.temporary_daemon import private_daemon
from tests.bench.world import fresh_state, settings_of
from tests.support.http_house import HttpClient, free_port
from tests.support.places import PROJECT

HERE = Path(__file__).parent
ENVIRONMENT = PROJECT / "build" / "clients"
NOT_TRIED = "/api/(reload|events|generations)"
"""What starts the daemon anew, has no end, or exchanges what is served."""

pytestmark = pytest.mark.clients


@pytest.fixture(scope="module")
def programs() -> Path:
    """The programs of an environment with the clients."""
    folder = ENVIRONMENT / "bin"
    if not (folder / "st").exists():
        subprocess.run([sys.executable, "-m", "venv", str(ENVIRONMENT)], check=True)
        wanted = str(HERE / "requirements.txt")
        subprocess.run([folder / "pip", "install", "--quiet", "-r", wanted], check=True)
    return folder


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a daemon that has learnt nothing."""
    folder, found = tmp_path_factory.mktemp("d"), free_port()
    more: dict[str, object] = {"HTTP__ADDRESS": f"127.0.0.1:{found}"}
    settings = settings_of(fresh_state(folder / "state"), folder / "a.sock", **more)
    with private_daemon(settings, folder / "daemon.log"):
        yield found


def test_openais_own_client(programs: Path, port: int) -> None:
    done = subprocess.run(
        [programs / "python", HERE / "drive_openai.py", f"http://127.0.0.1:{port}/v1"],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=900,
    )
    [line] = [line for line in done.stdout.splitlines() if line.startswith("FOUND ")]
    found: dict[str, Any] = json.loads(line.removeprefix("FOUND "))
    print(json.dumps(found, indent=1))
    assert found["models"] == ["attune", "attune-cascade"]
    chat, sound, realtime = found["chat"], found["sound"], found["realtime"]
    assert "Paris" in chat["whole"]
    assert (chat["streamed"], chat["streamed_tokens"]) == (chat["whole"], chat["tokens"])
    assert chat["with_tools"] == chat["whole"]
    assert "butter" in sound["heard"]
    assert sound["streamed"] == sound["heard"] == " ".join(sound["segments"])
    assert sound["heard"] in sound["srt"]
    assert sound["mp3_bytes"] > 5000
    assert "butter" in sound["heard_in_chat"]
    assert sound["answered"]
    assert found["errors"] == [
        "NotFoundError model_not_found",
        "BadRequestError None",
        "BadRequestError context_length_exceeded",
        "BadRequestError None",
    ]
    assert found["jobs"]["status"] == "failed"
    assert "nothing is labelled" in found["jobs"]["error"]
    assert found["jobs"]["listed"]
    assert len(set(found["at_once"])) == 1
    assert realtime["status"] == "completed"
    assert "butter" in realtime["heard"]
    assert realtime["sound_bytes"] > 20_000
    assert "I will not make it up" in realtime["text"]


def test_the_document_holds(programs: Path, port: int) -> None:
    """Requests that schemathesis makes from the OpenAPI document: no server error, and no answer
    that the document does not tell of."""
    done = subprocess.run(
        [
            programs / "st", "run", f"http://127.0.0.1:{port}/openapi.json",
            "--exclude-path-regex", NOT_TRIED, "--max-examples", "12", "--max-time", "240",
            "--seed", "27", "--no-color", "--checks",
            "not_a_server_error,status_code_conformance,content_type_conformance,"
            "response_schema_conformance",
        ],
        stdout=subprocess.PIPE,
        text=True,
        timeout=900,
        check=False,
    )  # fmt: skip
    print(done.stdout[-6000:])
    assert done.returncode == 0
    assert HttpClient(port).get("/health/ready").status == 200
