"""`make bench-network`: what clients on the network get, beside those of the control socket. Prints
JSON.

1. Word error of recordings through the control socket, HTTP and Wyoming: the same models hear them.
2. The time that HTTP and Wyoming add to a question that the control socket answers, in turn.
3. Eight clients at once for some minutes: what they get is compared with what each gets alone, and
   memory and open files at the end with those at the beginning.

Exits with 1 where an aim is missed: equal word errors, at most 5 ms in the median, nothing lost or
crossed, and memory that does not grow.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from wyoming.asr import Transcribe, Transcript
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncTcpClient
from wyoming.event import Event, Eventable
from wyoming.handle import Handled, NotHandled

from calibration.evaluation.text_scores import error_rate, word_errors
from daemon.client.socket_client import request
from daemon.client.temporary_daemon import private_daemon
from engines.audio.recordings import read_audio
from engines.errors import AttuneError
from engines.types import SAMPLE_RATE_HZ
from tests.bench.world import Rows, fresh_state, settings_of, speak
from tests.support.http_house import HttpClient, free_port

SECONDS = 300
MOST_ADDED_MS = 5.0
MOST_GROWTH = 1.05
QUESTIONS = tuple(
    f"What is the capital of {land}?"
    for land in ("France", "Italy", "Spain", "Poland", "Norway", "Greece", "Egypt", "Japan")
)


class Ways:
    """How a client may reach the daemon."""

    def __init__(self, socket: Path, http_port: int, wyoming_port: int) -> None:
        self.socket = socket
        self.http = HttpClient(http_port)
        self._wyoming_port = wyoming_port

    def hear_by_socket(self, path: Path) -> str:
        from daemon.client.socket_client import ask
        from daemon.control.requests import Listen
        from daemon.events.turns import TurnAnswered

        events = ask(self.socket, Listen(audio=str(path)), SECONDS, recording=path)
        return " ".join(one.heard for one in events if isinstance(one, TurnAnswered))

    def hear_by_http(self, path: Path) -> str:
        answer = self.http.upload("/v1/audio/transcriptions", path.read_bytes())
        if answer.status != 200:
            raise AttuneError(answer.error)
        return str(answer.json["text"])

    def hear_by_wyoming(self, path: Path) -> str:
        pcm = np.round(32768 * read_audio(path, 29)).clip(-32768, 32767).astype("<i2").tobytes()
        form: Any = {"rate": SAMPLE_RATE_HZ, "width": 2, "channels": 1}
        chunks: list[Eventable] = [
            AudioChunk(audio=pcm[start : start + 3200], **form)
            for start in range(0, len(pcm), 3200)
        ]
        event = self._by_wyoming(
            [Transcribe(), AudioStart(**form), *chunks, AudioStop()], (Transcript,)
        )
        return Transcript.from_event(event).text

    def ask_by_socket(self, text: str) -> str:
        *_, last = request(self.socket, {"command": "ask", "text": text}, SECONDS)
        return str(last["reply"])

    def ask_by_http(self, text: str) -> str:
        answer = self.http.post("/api/ask", {"text": text})
        if answer.status != 200:
            raise AttuneError(answer.error)
        return str(answer.json["events"][-1]["reply"])

    def ask_by_wyoming(self, text: str) -> str:
        event = self._by_wyoming([Transcript(text=text)], (Handled, NotHandled))
        return Handled.from_event(event).text or ""

    def chat(self, text: str) -> str:
        while (answer := self.http.chat(text, max_tokens=24)).status == 503:
            time.sleep(float(answer.headers["retry-after"]))
        if answer.status != 200:
            raise AttuneError(answer.error)
        return str(answer.json["choices"][0]["message"]["content"])

    def say(self, text: str) -> str:
        answer = self.http.post("/v1/audio/speech", {"input": text, "response_format": "pcm"})
        if answer.status != 200:
            raise AttuneError(answer.error)
        return f"{len(answer.body)} bytes"

    def _by_wyoming(self, events: list[Eventable], answers: tuple[Any, ...]) -> Event:
        async def asked() -> Event:
            async with (
                asyncio.timeout(SECONDS),
                AsyncTcpClient("127.0.0.1", self._wyoming_port) as client,
            ):
                for event in events:
                    await client.write_event(event.event())
                while (found := await client.read_event()) is not None:
                    if any(kind.is_type(found.type) for kind in answers):
                        assert isinstance(found, Event)
                        return found
                    if found.type == "error":
                        raise AttuneError(str(found.data.get("text")))
                raise AttuneError("the connection ended")

        return asyncio.run(asked())


def heard(ways: Ways, rows: Rows) -> dict[str, Any]:
    """The word error by each way, in percent, and in how many recordings the words differ."""
    found: dict[str, list[str]] = {"socket": [], "http": [], "wyoming": []}
    for row in rows:
        path = Path(row["audio"])
        found["socket"].append(ways.hear_by_socket(path))
        found["http"].append(ways.hear_by_http(path))
        found["wyoming"].append(ways.hear_by_wyoming(path))
    errors = {
        way: round(
            100
            * error_rate(
                [word_errors(row["text"], text) for row, text in zip(rows, texts, strict=True)]
            )[0],
            2,
        )
        for way, texts in found.items()
    }
    differ = {
        way: sum(a != b for a, b in zip(found["socket"], found[way], strict=True))
        for way in ("http", "wyoming")
    }
    return {"recordings": len(rows), "word_error_percent": errors, "differ_from_socket": differ}


def added(ways: Ways, count: int) -> dict[str, float]:
    """The milliseconds that each way adds to an answer, in the median of the differences."""
    asks = {
        "socket": ways.ask_by_socket,
        "http": ways.ask_by_http,
        "wyoming": ways.ask_by_wyoming,
    }
    took: dict[str, list[float]] = {way: [] for way in asks}
    order = list(asks)
    for number in range(count + 1):
        random.Random(number).shuffle(order)
        for way in order:
            began = time.perf_counter()
            asks[way]("stop")  # is understood without the language model
            if number:  # the first opens what is opened once
                took[way].append(1000 * (time.perf_counter() - began))
    socket = np.array(took["socket"])
    return {
        "socket_ms": round(float(np.median(socket)), 2),
        "http_adds_ms": round(float(np.median(np.array(took["http"]) - socket)), 2),
        "wyoming_adds_ms": round(float(np.median(np.array(took["wyoming"]) - socket)), 2),
    }


def crowd(ways: Ways, daemon: psutil.Process, rows: Rows, minutes: float) -> dict[str, Any]:
    """Eight clients at once."""
    paths = [Path(row["audio"]) for row in rows[:3]]
    jobs: list[Callable[[], str]] = [
        *(lambda text=text: ways.chat(text) for text in QUESTIONS[:3]),
        lambda: ways.hear_by_http(paths[0]),
        lambda: ways.hear_by_http(paths[1]),
        lambda: ways.hear_by_wyoming(paths[2]),
        lambda: ways.say("The kitchen light is on now, and the one in the hall is off."),
        lambda: str(ways.http.get("/api/status").status),
    ]
    alone = [job() for job in jobs]
    until = time.monotonic() + 60 * minutes
    wrong: list[str] = []
    done = [0] * len(jobs)

    def work(number: int) -> None:
        while time.monotonic() < until:
            try:
                got = jobs[number]()
            except (AttuneError, OSError, TimeoutError) as error:
                got = f"failed: {error}"
            done[number] += 1
            if got != alone[number]:
                wrong.append(f"{number}: {got!r} in place of {alone[number]!r}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(jobs))]
    for thread in threads:
        thread.start()
    sizes = []
    while time.monotonic() < until:
        time.sleep(min(15.0, 60 * minutes / 8))
        sizes.append((round(daemon.memory_info().rss / 2**20), daemon.num_fds()))
    for thread in threads:
        thread.join()
    return {
        "minutes": minutes,
        "answers": sum(done),
        "by_client": done,
        "wrong": len(wrong),
        "first_wrong": wrong[:5],
        "mib_and_files": sizes,
    }


def main() -> int:
    """Run the bench and print what it found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state", type=Path, help="a state that has learnt")
    parser.add_argument("--recordings", type=Path, help="a manifest to judge by")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--minutes", type=float, default=10.0)
    given = parser.parse_args()
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if given.recordings:
            lines = given.recordings.read_text().splitlines()
            rows = [json.loads(line) for line in lines]
            for row in rows:
                row["audio"] = str(given.recordings.parent / row["audio"])
        else:
            rows = speak(folder / "atypical", "atypical")
        ports = free_port(), free_port()
        socket = folder / "a.sock"
        state = given.state or fresh_state(folder / "state")
        settings = settings_of(
            state,
            socket,
            HTTP__ADDRESS=f"127.0.0.1:{ports[0]}",
            WYOMING__ADDRESS=f"127.0.0.1:{ports[1]}",
        )
        with private_daemon(settings, folder / "daemon.log"):
            [daemon] = [
                child for child in psutil.Process().children() if "serve" in child.cmdline()
            ]
            ways = Ways(socket, *ports)
            found["heard"] = heard(ways, rows[: given.count])
            found["added"] = added(ways, given.count)
            found["crowd"] = crowd(ways, daemon, rows, given.minutes)
    print(json.dumps(found, indent=1))
    return 0 if meets(found) else 1


def meets(found: dict[str, Any]) -> bool:
    """Whether all aims are met."""
    errors = set(found["heard"]["word_error_percent"].values())
    quick = max(found["added"]["http_adds_ms"], found["added"]["wyoming_adds_ms"]) <= MOST_ADDED_MS
    sizes = [size for size, _ in found["crowd"]["mib_and_files"]]
    flat = sizes[-1] <= MOST_GROWTH * sizes[len(sizes) // 4]
    return len(errors) == 1 and quick and not found["crowd"]["wrong"] and flat


if __name__ == "__main__":
    sys.exit(main())
