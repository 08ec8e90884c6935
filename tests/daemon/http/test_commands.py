"""What the control socket does, through HTTP; and rounds, as OpenAI's clients know them."""

import http.client
import json
import os
from pathlib import Path
from typing import Any

import pytest

from daemon.control import requests
from tests.support.audio_fixtures import tone, write_wav
from tests.support.fake_child import eventually
from tests.support.fakes import write_base
from tests.support.http_house import HttpClient, Start, free_port, start_house
from tests.support.running_daemon import Start as StartDaemon
from tests.support.running_daemon import enroll, folder, start

__all__ = ["folder", "start", "start_house"]


def test_a_request_is_answered_as_through_the_socket(start_house: Start) -> None:
    house = start_house()
    [*_, last] = house.post("/api/ask", {"text": "hello"}).json["events"]
    assert (last["event"], last["reply"]) == ("turn", "0 hello")
    assert house.get("/api/status").json["event"] == "status"


def test_the_answer_can_be_streamed(start_house: Start) -> None:
    answer = start_house().post("/api/ask", {"text": "one two"}, Accept="text/event-stream")
    assert answer.headers["content-type"].startswith("text/event-stream")
    kinds = [event["event"] for event in answer.events]
    assert kinds[-1] == "turn"
    assert kinds.count("token") == 3
    assert "event: turn\n" in answer.body.decode()


def test_every_request_but_enrolment_has_a_path(start_house: Start) -> None:
    paths = start_house().get("/openapi.json").json["paths"]
    for kind in requests.KINDS:
        name = kind.model_fields["command"].default
        expected = name not in ("enroll", "events")
        assert (f"/api/{name}" in paths and "post" in paths[f"/api/{name}"]) is expected
    assert "get" in paths["/api/events"]


def test_a_recording_comes_with_its_request(start_house: Start, tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", tone(1.0, 440.0))
    house = start_house()
    answer = house.upload("/api/ask/recording", (tmp_path / "a.wav").read_bytes())
    assert answer.json["events"][-1]["heard"] == "a tone of 440"
    fields = json.dumps({"expected": ["Tonga"]})
    again = house.upload("/api/ask/recording", (tmp_path / "a.wav").read_bytes(), request=fields)
    assert "Tonga" in again.json["events"][-1]["heard"]


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("/api/ask", {}),
        ("/api/ask", {"text": ""}),
        ("/api/ask", {"text": "a\0b"}),
        ("/api/ask", {"audio": "/etc/passwd"}),
        ("/api/mode", {"mode": "singing"}),
        ("/api/correct", {"text": "x", "turn": 99}),
        ("/api/generations", {"action": "promote"}),
        ("/api/vocabulary", {"add": [{"text": ""}]}),
    ],
)
def test_what_is_wrong_is_told(start_house: Start, path: str, what: dict[str, Any]) -> None:
    answer = start_house().post(path, what)
    assert answer.status == 400
    assert answer.error


def test_no_client_names_an_open_file_of_the_daemon(start_house: Start, tmp_path: Path) -> None:
    """A number that the client gives is no descriptor, in whatever way it comes."""
    write_wav(tmp_path / "a.wav", tone(1.0))
    descriptor = os.open(tmp_path / "a.wav", os.O_RDONLY)  # the daemon is in this process
    try:
        house = start_house()
        given = {"audio": "x", "descriptors": [descriptor]}
        assert house.post("/api/ask", given).status == 400
        forged = house.upload("/api/ask/recording", b"nonsense", request=json.dumps(given))
        assert forged.status == 400
        assert "not audio" in forged.error
    finally:
        os.close(descriptor)


def test_no_descriptor_is_left_open(start_house: Start) -> None:
    house = start_house()
    house.upload("/api/ask/recording", b"nonsense")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        house.upload("/api/ask/recording", b"nonsense")
        house.upload("/api/ask/recording", b"nonsense", request="{")
        house.upload("/api/ask/recording", b"nonsense", request='{"expected": 5}')
    assert eventually(lambda: len(list(Path("/proc/self/fd").iterdir())) <= before)


def test_the_stream_of_events_begins_with_the_state(start_house: Start) -> None:
    house = start_house()
    connection = http.client.HTTPConnection("127.0.0.1", house.port, timeout=60)
    connection.request("GET", "/api/events")
    response = connection.getresponse()

    def next_event() -> dict[str, Any]:
        while not (line := response.readline()).startswith(b"data: "):
            assert line
        return dict(json.loads(line[6:]))

    assert next_event()["event"] == "status"
    assert next_event()["event"] == "following"
    house.post("/api/ask", {"text": "hello"})
    kinds = []
    while "turn" not in kinds:
        kinds.append(next_event()["event"])
    connection.close()


JOBS = "/v1/fine_tuning/jobs"


def learning(start: StartDaemon, folder: Path, mode: str, count: int = 20) -> HttpClient:
    """A daemon that has `count` recordings to learn from."""
    write_base(folder / "state" / "generations")
    client = HttpClient(free_port())
    daemon = start(mode, http__address=f"127.0.0.1:{client.port}", idle__enabled=False)
    if count:
        enroll(daemon, folder, count)
    return client


def test_without_labels_a_job_fails(start: StartDaemon, folder: Path) -> None:
    client = learning(start, folder, "done", 0)
    answer = client.post(JOBS, {"model": "attune", "training_file": "file-x"})
    assert (answer.status, answer.json["status"]) == (200, "failed")
    assert answer.json["error"]["message"]
    assert client.get(f"{JOBS}/{answer.json['id']}").json["status"] == "failed"
    assert client.get(f"{JOBS}/ftjob-1").status == 404


def test_a_round_is_a_job(start: StartDaemon, folder: Path) -> None:
    client = learning(start, folder, "done")
    assert client.get(JOBS).json == {"object": "list", "data": [], "has_more": False}
    job = client.post(JOBS, {"model": "attune", "training_file": "file-x"}).json
    assert job["object"] == "fine_tuning.job"
    path = f"{JOBS}/{job['id']}"
    assert eventually(lambda: client.get(path).json["status"] == "succeeded")
    done = client.get(path).json
    assert done["fine_tuned_model"] == "attune:0001"
    assert done["finished_at"] >= done["created_at"]
    assert [one["id"] for one in client.get(JOBS).json["data"]] == [job["id"]]
    latest, first = client.get(f"{path}/events").json["data"]
    assert first["message"] == "the round has begun"
    assert latest["message"].startswith("promoted")
    [checkpoint] = client.get(f"{path}/checkpoints").json["data"]
    assert checkpoint["fine_tuned_model_checkpoint"] == "attune:0001"
    assert client.post(f"{path}/pause", {}).json["error"]["code"] == "job_ended"


def test_a_job_is_paused_resumed_and_cancelled(start: StartDaemon, folder: Path) -> None:
    client = learning(start, folder, "hangs")
    path = f"{JOBS}/{client.post(JOBS, {'model': 'attune'}).json['id']}"
    assert client.post(f"{path}/pause", {}).json["status"] == "paused"
    assert eventually(lambda: client.get(path).json["status"] == "paused")
    progress = client.get(path).json["progress"]
    assert client.get(path).json["progress"] == progress
    assert client.post(f"{path}/resume", {}).json["status"] == "running"
    assert eventually(lambda: client.get(path).json["status"] == "running")
    assert client.post(f"{path}/cancel", {}).json["status"] == "cancelled"
    assert client.get(path).json["status"] == "cancelled"


def test_what_ends_a_paused_round_ends_its_pause(start: StartDaemon, folder: Path) -> None:
    """Or else nothing would be learnt until the daemon starts anew."""
    client = learning(start, folder, "hangs")
    path = f"{JOBS}/{client.post(JOBS, {'model': 'attune'}).json['id']}"
    client.post(f"{path}/pause", {})
    client.post("/api/adapt", {"action": "cancel"})
    assert eventually(lambda: client.get(path).json["status"] == "cancelled")
    assert client.post(JOBS, {"model": "attune"}).json["status"] == "running"


def test_a_paused_job_can_be_cancelled(start: StartDaemon, folder: Path) -> None:
    client = learning(start, folder, "hangs")
    path = f"{JOBS}/{client.post(JOBS, {'model': 'attune'}).json['id']}"
    client.post(f"{path}/pause", {})
    assert client.post(f"{path}/cancel", {}).json["status"] == "cancelled"
    assert client.post(JOBS, {"model": "attune"}).json["status"] == "running"
