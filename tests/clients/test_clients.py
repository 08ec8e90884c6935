"""Clients that nobody here wrote, in an environment of their own, beside a real daemon.

`make test-clients` runs it; it needs a network the first time.
"""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
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
    if not (folder / "wyoming-bench").exists():
        subprocess.run([sys.executable, "-m", "venv", str(ENVIRONMENT)], check=True)
        wanted = str(HERE / "requirements.txt")
        subprocess.run([folder / "pip", "install", "--quiet", "-r", wanted], check=True)
    return folder


@dataclass(frozen=True)
class Ports:
    """The ports of a daemon that has learnt nothing."""

    http: int
    wyoming: int


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ports]:
    folder, found = tmp_path_factory.mktemp("d"), Ports(free_port(), free_port())
    more: dict[str, object] = {
        "HTTP__ADDRESS": f"127.0.0.1:{found.http}",
        "WYOMING__ADDRESS": f"127.0.0.1:{found.wyoming}",
    }
    settings = settings_of(fresh_state(folder / "state"), folder / "a.sock", **more)
    with private_daemon(settings, folder / "daemon.log"):
        yield found


@pytest.fixture(scope="module")
def port(ports: Ports) -> int:
    return ports.http


def found_by(command: list[Any], **more: Any) -> dict[str, Any]:
    """What a program prints after FOUND."""
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=True, timeout=900, **more
    )
    [line] = [line for line in done.stdout.splitlines() if line.startswith("FOUND ")]
    found: dict[str, Any] = json.loads(line.removeprefix("FOUND "))
    print(json.dumps(found, indent=1))
    return found


def test_openais_own_client(programs: Path, port: int) -> None:
    found = found_by([programs / "python", HERE / "drive_openai.py", f"http://127.0.0.1:{port}/v1"])
    assert found["models"] == ["attune", "attune-cascade", "attune-base"]
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


def test_openais_client_of_another_language(port: int) -> None:
    folder = ENVIRONMENT / "node"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "drive_openai.mjs"):
        shutil.copy(HERE / name, folder)
    if not (folder / "node_modules").is_dir():
        subprocess.run(["npm", "install", "--silent", "--no-fund"], cwd=folder, check=True)
    found = found_by(["node", "drive_openai.mjs", f"http://127.0.0.1:{port}/v1"], cwd=folder)
    chat, sound = found["chat"], found["sound"]
    assert found["models"] == ["attune", "attune-cascade", "attune-base"]
    assert "Paris" in chat["whole"]
    assert (chat["streamed"], chat["streamed_tokens"]) == (chat["whole"], chat["tokens"])
    assert "butter" in sound["heard"]
    assert sound["streamed"] == sound["heard"] == " ".join(sound["segments"])
    assert [one.split()[0] for one in found["errors"]] == [
        "NotFoundError",
        "BadRequestError",
        "BadRequestError",
    ]
    assert (found["jobs"]["status"], found["jobs"]["listed"]) == ("failed", True)
    assert len(set(found["at_once"])) == 1


def test_a_benchmark_of_wyoming_servers(programs: Path, ports: Ports, tmp_path: Path) -> None:
    server = f"127.0.0.1:{ports.wyoming}"

    def bench(*arguments: str) -> str:
        done = subprocess.run(
            [programs / "wyoming-bench", arguments[0], server, *arguments[1:]],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            timeout=900,
        )
        print(done.stdout)
        return done.stdout

    spoken = bench("tts", "--rounds", "1")
    corpus, texts = str(tmp_path / "corpus"), ["Set a timer for ten minutes.", "Call my son."]
    bench("generate-corpus", "--out", corpus, "--texts", *texts)
    heard = bench("stt", "--corpus", corpus, "--rounds", "1")
    for found in (spoken, heard):
        assert found.count("fail=0") == 2  # whole, and streamed
    errors = [float(one) for one in re.findall(r"WER=([\d.]+)%", heard)]
    assert len(errors) == 2
    assert max(errors) < 25


def test_prometheus_takes_the_metrics(port: int) -> None:
    folder = ENVIRONMENT / "prometheus"
    promtool = folder / "usr" / "bin" / "promtool"
    if not promtool.exists():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "download", "-qq", "prometheus"], cwd=folder, check=True)
        [package] = folder.glob("prometheus_*.deb")
        subprocess.run(["dpkg-deb", "--extract", package, folder], check=True)
    metrics = HttpClient(port).get("/metrics").body
    subprocess.run([promtool, "check", "metrics"], input=metrics, check=True)
    rules = PROJECT / "docker" / "alerts.yaml"
    subprocess.run([promtool, "check", "rules", rules], check=True)


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
