"""A whole daemon on tiny engines, reached as everybody reaches it: through its socket."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from daemon.app import App, Voice
from daemon.client import request
from daemon.config import Settings
from daemon.config_sources import load_settings
from daemon.events import Event
from daemon.idle import Board
from engines.audio import write_flac
from engines.errors import AttuneError
from tests.fake_child import FAKE, eventually
from tests.fakes import fake_voice, tone, write_base


def make_settings(folder: Path, **flags: object) -> Settings:
    base: dict[str, object] = {
        "state_dir": folder / "state",
        "cache_dir": folder / "cache",
        "control.socket": folder / "run" / "a.sock",
        "audio.source": "none",
    }
    named = {name.replace("__", "."): value for name, value in flags.items()}
    return load_settings(Path(os.devnull), {**base, **named}, {}).settings


class Daemon:
    """A daemon in this process, and a client of it."""

    def __init__(self, settings: Settings, mode: str, open_voice: Callable[[Settings], Voice]) -> None:
        self.settings = settings
        self.app = App(settings, open_voice, (sys.executable, str(FAKE), mode, "0.01"))

    def do(self, command: str, **arguments: object) -> list[Event]:
        values = {name: str(value) if isinstance(value, Path) else value for name, value in arguments.items()}
        return list(request(self.settings.control.socket, {"command": command, **values}, 60))

    def status(self) -> Event:
        return self.do("status")[0]


Start = Callable[..., Daemon]


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("d")  # short: the path of a socket holds 107 bytes


@pytest.fixture
def start(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    # Rounds must not depend on how busy the machine is that runs the tests.
    monkeypatch.setattr("daemon.learning.read_board", lambda _: Board(available_bytes=10**10, disk_free_bytes=10**10))
    with ExitStack() as stack:

        def run(mode: str = "done", open_voice: Callable[[Settings], Voice] = fake_voice, **flags: object) -> Daemon:
            daemon = Daemon(make_settings(folder, **flags), mode, open_voice)
            stack.enter_context(daemon.app)
            return daemon

        yield run


def enroll(daemon: Daemon, folder: Path, count: int = 20) -> list[Event]:
    rows = []
    for index in range(count):
        write_flac(folder / f"{index}.flac", tone(0.5, 200 + 10 * index))
        rows.append(json.dumps({"audio": f"{index}.flac", "text": f"number {index}"}))
    (folder / "manifest.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return daemon.do("enroll", manifest=folder / "manifest.jsonl")


def test_a_text_and_a_recording_are_answered(start: Start, folder: Path) -> None:
    daemon = start()
    assert daemon.do("ask", text="hello")[-1]["reply"] == "0 hello"
    write_flac(folder / "a.flac", tone(1.0, 300))
    turn = daemon.do("ask", audio=folder / "a.flac")[-1]
    assert (turn["heard"], turn["reply"], turn["route"]) == ("a tone of 300", "1 a tone of 300", "cascade")
    status = daemon.status()
    assert status["counts"]["turns"] == 2  # type: ignore[index]
    assert [turn["heard"] for turn in status["last_turns"]] == ["a tone of 300", "hello"]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({}, "either a text or a recording"),
        ({"text": "x", "audio": "/x.wav"}, "either a text or a recording"),
        ({"text": ""}, "text: String should have at least 1 character"),
        ({"txt": "x"}, "txt: Extra inputs"),
        ({"text": "x", "route": "sideways"}, "no sideways route"),
        ({"audio": "/nonexistent.wav"}, "/nonexistent.wav does not exist"),
        ({"audio": os.devnull}, "is not a file"),
    ],
)
def test_a_bad_question_is_one_line(start: Start, arguments: dict[str, object], line: str) -> None:
    daemon = start()
    with pytest.raises(AttuneError, match=line) as caught:
        daemon.do("ask", **arguments)
    assert "\n" not in str(caught.value)
    assert daemon.do("ask", text="still here")[-1]["reply"] == "0 still here"
    with pytest.raises(AttuneError, match="attune --help"):
        daemon.do("dance")


def test_a_correction_becomes_a_label(start: Start, folder: Path) -> None:
    daemon = start()
    with pytest.raises(AttuneError, match="nothing was said yet"):
        daemon.do("correct", text="hello")
    write_flac(folder / "a.flac", tone(1.0, 300))
    spoken = daemon.do("ask", audio=folder / "a.flac")[-1]
    typed = daemon.do("ask", text="typed")[-1]
    corrected = daemon.do("correct", text="play a tone")[0]
    assert (corrected["turn"], corrected["heard"], corrected["text"]) == (spoken["id"], "a tone of 300", "play a tone")
    with pytest.raises(AttuneError, match="no stored audio"):
        daemon.do("correct", text="x", turn=typed["id"])
    with pytest.raises(AttuneError, match="there is no turn 99"):
        daemon.do("correct", text="x", turn=99)
    assert daemon.status()["counts"]["labels_by_origin"] == {"corrected": 1}  # type: ignore[index]


def test_good_rows_of_a_manifest_are_kept_and_bad_ones_told(start: Start, folder: Path) -> None:
    daemon = start()
    write_flac(folder / "good.flac", tone(0.5))
    write_flac(folder / "long.flac", tone(31))
    rows = [
        '{"audio": "good.flac", "text": " hello  there "}',
        "",
        '{"audio": "good.flac"}',
        "not json",
        '{"audio": "none.flac", "text": "x"}',
        '{"audio": "manifest.jsonl", "text": "x"}',
        '{"audio": "long.flac", "text": "x"}',
        '{"audio": "good.flac", "text": "' + "x" * 2000 + '"}',
        '{"audio": "good.flac", "text": "' + "x" * 50_000 + '"}',
        '{"audio": "good.flac", "text": "x", "speaker": "me"}',
        '{"audio": "good.flac", "text": "\\u0020"}',
    ]
    (folder / "manifest.jsonl").write_text("\n".join(rows), encoding="utf-8")
    *events, total = daemon.do("enroll", manifest=folder / "manifest.jsonl")
    assert (total["enrolled"], total["bad"]) == (1, 9)
    problems = [str(event["problem"]) for event in events if event["event"] == "bad_row"]
    assert [problem.split(":")[0] for problem in problems] == [f"manifest.jsonl line {number}" for number in range(3, 12)]
    parts = ("text", "JSON", "does not exist", "not audio", "longer than 30 s", "1000", "longer than 16384", "speaker", "text")
    for problem, part in zip(problems, parts, strict=True):
        assert part in problem
        assert "\n" not in problem
    assert daemon.do("enroll", manifest=folder / "manifest.jsonl")[-1]["enrolled"] == 1
    assert daemon.status()["counts"]["utterances"] == 1  # type: ignore[index]
    with pytest.raises(AttuneError, match="cannot be read"):
        daemon.do("enroll", manifest=folder / "none.jsonl")


def test_a_round_is_followed_promoted_and_served_at_once(start: Start, folder: Path) -> None:
    write_base(folder / "state" / "generations")
    daemon = start()
    assert daemon.status()["generation"] == 0
    assert daemon.status()["route"] == "cascade"
    enroll(daemon, folder)
    events = daemon.do("adapt")
    assert events[-1]["outcome"] == "promoted", events[-1]
    assert {"training", "judging"} <= {event["state"] for event in events}
    status = daemon.status()
    assert (status["generation"], status["route"]) == (1, "aligned")
    assert status["counts"]["new_labels"] == 0  # type: ignore[index]
    assert daemon.do("ask", audio=folder / "0.flac")[-1]["generation"] == 1
    rolled = daemon.do("generations", action="promote", number=0)[0]
    assert (rolled["generation"], rolled["route"]) == (0, "cascade")
    assert daemon.do("ask", audio=folder / "0.flac")[-1]["route"] == "cascade"
    assert daemon.do("generations", action="rollback")[0]["generation"] == 1
    with pytest.raises(AttuneError, match="0007"):
        daemon.do("generations", action="promote", number=7)


@pytest.mark.parametrize("enabled", [True, False])
def test_a_round_starts_by_itself_only_where_it_may(start: Start, folder: Path, enabled: bool) -> None:
    write_base(folder / "state" / "generations")
    eager = {"idle__quiet_seconds": 0, "idle__min_minutes_between_rounds": 0, "idle__min_new_utterances": 20}
    daemon = start(idle__enabled=enabled, **eager)
    with daemon.app._events.follow() as events:
        enroll(daemon, folder)
        if enabled:
            while events.get(timeout=60).get("outcome") != "promoted":
                pass
        else:
            assert eventually(lambda: "paused by the user" in str(daemon.status()["adaptation"]))
    assert daemon.status()["generation"] == (1 if enabled else 0)
    assert enabled or daemon.do("adapt")[-1]["outcome"] == "promoted"


def test_there_is_no_round_without_anything_to_learn_from(start: Start, folder: Path) -> None:
    write_base(folder / "state" / "generations")
    daemon = start()
    last = daemon.do("adapt")[-1]
    assert last["outcome"] == "failed"
    assert "nothing is labelled yet" in str(last["last_reason"])
    assert daemon.do("ask", text="hello")[-1]["reply"] == "0 hello"


def test_what_was_said_is_labelled_before_a_round(start: Start, folder: Path) -> None:
    write_base(folder / "state" / "generations")
    daemon = start()
    for index in range(12):
        seconds = 0.5 if index < 4 else 1.0  # the short ones are recognised with too little confidence
        write_flac(folder / "a.flac", tone(seconds, 200 + 20 * index))
        daemon.do("ask", audio=folder / "a.flac")
    assert daemon.status()["counts"]["unlabelled"] == 12  # type: ignore[index]
    assert daemon.do("adapt")[-1]["outcome"] == "promoted"
    counts = daemon.status()["counts"]
    assert (counts["labels_by_origin"], counts["unlabelled"]) == ({"recognised": 12}, 0)  # type: ignore[index]


def test_a_child_that_dies_is_one_line_and_everything_goes_on(start: Start, folder: Path) -> None:
    write_base(folder / "state" / "generations")
    daemon = start(mode="dies")
    enroll(daemon, folder)
    last = daemon.do("adapt")[-1]
    assert last["outcome"] == "failed"
    assert "SIGKILL" in str(last["last_reason"])
    assert daemon.status()["generation"] == 0
    assert daemon.status()["counts"]["new_labels"] == 20  # type: ignore[index]
    assert daemon.do("ask", text="hello")[-1]["reply"] == "0 hello"


def test_a_round_can_be_cancelled(start: Start, folder: Path) -> None:
    write_base(folder / "state" / "generations")
    daemon = start(mode="hangs")
    enroll(daemon, folder)
    outcome: list[Event] = []
    follower = threading.Thread(target=lambda: outcome.extend(daemon.do("adapt")))
    with daemon.app._events.follow() as events:
        follower.start()
        while events.get(timeout=30).get("stage") != "train":
            pass
    daemon.do("adapt", action="cancel")
    follower.join()
    assert outcome[-1]["outcome"] == "cancelled"


def test_a_damaged_generation_is_passed_over_and_told(start: Start, folder: Path) -> None:
    write_base(folder / "state" / "generations")
    daemon = start()
    enroll(daemon, folder)
    daemon.do("adapt")
    daemon.app.__exit__()
    projector = folder / "state" / "generations" / "0001" / "projector.onnx"
    projector.write_bytes(b"not what was written")
    again = start()
    status = again.status()
    assert (status["generation"], status["route"]) == (0, "cascade")
    assert "0001 is damaged" in str(status["problems"])
    assert projector.is_file()
    assert again.do("ask", text="hello")[-1]["reply"] == "0 hello"


def test_a_generation_for_other_models_leaves_the_cascade(start: Start, folder: Path) -> None:
    write_base(folder / "state" / "generations")

    def made_for_others(settings: Settings) -> Voice:
        def aligned(_generation: object, _unsure_takes_draft: bool) -> None:
            raise AttuneError("generation 0000 was made for another language model")

        voice = fake_voice(settings)
        return Voice(**{**vars(voice), "aligned": aligned})

    daemon = start(open_voice=made_for_others, conversation__route="aligned")
    status = daemon.status()
    assert (status["route"], status["generation"], status["routes"]) == ("cascade", None, ["cascade"])
    assert "made for another" in str(status["problems"])


def test_speech_in_a_long_recording_is_cut_and_answered_in_order(start: Start, folder: Path, general_speech: Path) -> None:
    import numpy as np

    from engines.audio import read_audio
    from engines.general_speech import read_prompts

    prompts = [prompt for prompt in read_prompts(general_speech) if len(prompt.text) < 50][:3]
    pause = np.zeros(24_000, np.float32)
    write_flac(
        folder / "a.flac", np.concatenate([part for prompt in prompts for part in (pause, read_audio(prompt.audio))] + [pause])
    )
    daemon = start()
    events = daemon.do("listen", audio=folder / "a.flac")
    turns = [event for event in events if event["event"] == "turn"]
    segments = [event for event in events if event["event"] == "segment"]
    assert len(turns) == len(segments) >= 3
    starts = [float(str(event["start_seconds"])) for event in segments]
    assert starts == sorted(starts)
    assert events[-1]["event"] == "listened"
    assert daemon.status()["counts"]["utterances"] == len(turns)  # type: ignore[index]
    assert daemon.status()["attentive"] is False


def test_followers_see_what_others_say(start: Start) -> None:
    daemon = start()
    events = request(daemon.settings.control.socket, {"command": "events"}, 60)
    assert next(events) == {"event": "following"}
    daemon.do("ask", text="hello")
    assert next(event for event in events if event["event"] not in ("adaptation", "alive"))["event"] == "heard"
    events.close()  # type: ignore[attr-defined]


def test_a_second_daemon_is_refused_and_the_first_lives_on(start: Start, folder: Path) -> None:
    daemon = start()
    with pytest.raises(AttuneError, match=rf"process {os.getpid()}\) already uses"):
        start()
    with pytest.raises(AttuneError, match="another Attune daemon answers"):
        start(state_dir=folder / "other")
    assert daemon.do("ask", text="hello")[-1]["reply"] == "0 hello"


def test_a_daemon_that_cannot_start_leaves_nothing_behind(start: Start, folder: Path) -> None:
    def broken(_: Settings) -> Voice:
        raise AttuneError("the model is missing; run `attune models fetch`")

    with pytest.raises(AttuneError, match="model is missing"):
        start(open_voice=broken)
    with pytest.raises(AttuneError, match=r"\[segmenter\] contradict"):
        start(segmenter__start_threshold=0.2)
    assert start().do("ask", text="hello")[-1]["reply"] == "0 hello"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_cleanly_and_a_kill_is_survived(folder: Path, number: signal.Signals) -> None:
    code = (
        "import daemon.app, daemon.cli, sys; from tests.fakes import fake_voice\n"
        "daemon.app.open_voice = fake_voice; sys.argv = ['attune', 'serve']; daemon.cli.main()"
    )
    settings = make_settings(folder)
    environment = {
        **os.environ,
        "ATTUNE__STATE_DIR": str(settings.state_dir),
        "ATTUNE__CONTROL__SOCKET": str(settings.control.socket),
        "ATTUNE__AUDIO__SOURCE": "none",
    }
    for how in (signal.SIGKILL, number):
        process = subprocess.Popen([sys.executable, "-c", code], env=environment, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        line = process.stderr.readline()
        assert "serving at" in line, line + process.stderr.read()
        [status] = request(settings.control.socket, {"command": "status"}, 30)
        assert status["process"] == process.pid
        process.send_signal(how)
        assert process.wait(30) == (0 if how is number else -signal.SIGKILL)
        process.stderr.close()
    assert not settings.control.socket.exists()
