"""A whole daemon on tiny engines, reached as everybody reaches it: through its socket."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from daemon.client.socket_client import request
from daemon.config.settings import Settings
from daemon.serving.models import ServingModels
from engines.audio.recordings import write_flac
from engines.errors import AttuneError
from tests.support.fake_child import eventually
from tests.support.fakes import tone
from tests.support.running_daemon import Start, folder, make_settings, start

__all__ = ["folder", "start"]


def test_a_text_and_a_recording_are_answered(start: Start, folder: Path) -> None:
    daemon = start()
    assert daemon.do("ask", text="hello")[-1]["reply"] == "0 hello"
    write_flac(folder / "a.flac", tone(1.0, 300))
    turn = daemon.do("ask", audio=folder / "a.flac")[-1]
    assert (turn["heard"], turn["reply"], turn["route"]) == (
        "a tone of 300",
        "1 a tone of 300",
        "cascade",
    )
    status = daemon.status()
    assert status["counts"]["turns"] == 2
    assert [turn["heard"] for turn in status["last_turns"]] == ["a tone of 300", "hello"]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({}, "either a text or a recording"),
        ({"text": "x", "audio": "x.wav"}, "either a text or a recording"),
        ({"text": ""}, "text: String should have at least 1 character"),
        ({"txt": "x"}, "txt: Extra inputs"),
        ({"text": "x", "route": "sideways"}, "no sideways route"),
        ({"audio": Path("/nonexistent.wav")}, "/nonexistent.wav does not exist"),
        ({"audio": Path(os.devnull)}, "is not a file"),
        ({"audio": "/etc/hostname"}, "/etc/hostname did not come as one open descriptor"),
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
    assert (corrected["turn"], corrected["heard"], corrected["text"]) == (
        spoken["id"],
        "a tone of 300",
        "play a tone",
    )
    with pytest.raises(AttuneError, match="no stored audio"):
        daemon.do("correct", text="x", turn=typed["id"])
    with pytest.raises(AttuneError, match="there is no turn 99"):
        daemon.do("correct", text="x", turn=99)
    assert daemon.status()["counts"]["labels_by_origin"] == {"corrected": 1}


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
    *events, total = daemon.enroll(folder / "manifest.jsonl")
    assert (total["enrolled"], total["bad"]) == (1, 9)
    problems = [str(event["problem"]) for event in events if event["event"] == "bad_row"]
    assert [problem.split(":")[0] for problem in problems] == [
        f"manifest.jsonl line {number}" for number in range(3, 12)
    ]
    parts = (
        "text",
        "JSON",
        "does not exist",
        "not audio",
        "longer than 29.5 s",
        "1000",
        "longer than 16384",
        "speaker",
        "text",
    )
    for problem, part in zip(problems, parts, strict=True):
        assert part in problem
        assert "\n" not in problem
    assert daemon.enroll(folder / "manifest.jsonl")[-1]["enrolled"] == 1
    assert daemon.status()["counts"]["utterances"] == 1
    with pytest.raises(AttuneError, match="does not exist"):
        daemon.enroll(folder / "none.jsonl")


def test_speech_in_a_long_recording_is_cut_and_answered_in_order(
    start: Start, folder: Path, general_speech: Path
) -> None:
    import numpy as np

    from engines.audio.recordings import read_audio
    from engines.models.general_speech import read_prompts

    prompts = [prompt for prompt in read_prompts(general_speech) if len(prompt.text) < 50][:3]
    pause = np.zeros(24_000, np.float32)
    write_flac(
        folder / "a.flac",
        np.concatenate(
            [part for prompt in prompts for part in (pause, read_audio(prompt.audio))] + [pause]
        ),
    )
    daemon = start()
    events = daemon.do("listen", audio=folder / "a.flac")
    turns = [event for event in events if event["event"] == "turn"]
    segments = [event for event in events if event["event"] == "segment"]
    assert len(turns) == len(segments) >= 3
    starts = [float(str(event["start_seconds"])) for event in segments]
    assert starts == sorted(starts)
    assert events[-1]["event"] == "listened"
    assert daemon.status()["counts"]["utterances"] == len(turns)
    assert eventually(lambda: daemon.status()["attentive"] is False)


def test_followers_see_what_others_say(start: Start) -> None:
    daemon = start()
    events = request(daemon.settings.control.socket, {"command": "events"}, 120)
    assert next(events) == {"event": "following"}
    daemon.do("ask", text="hello")
    assert (
        next(event for event in events if event["event"] not in ("adaptation", "alive"))["event"]
        == "heard"
    )
    events.close()


def test_a_second_daemon_is_refused_and_the_first_lives_on(start: Start, folder: Path) -> None:
    daemon = start()
    with pytest.raises(AttuneError, match=rf"process {os.getpid()}\) already uses"):
        start()
    with pytest.raises(
        AttuneError, match=rf"another Attune daemon \(process {os.getpid()}\) answers"
    ):
        start(state_dir=folder / "other")
    assert daemon.do("ask", text="hello")[-1]["reply"] == "0 hello"


def test_a_daemon_that_cannot_start_leaves_nothing_behind(start: Start, folder: Path) -> None:
    def broken(_: Settings) -> ServingModels:
        raise AttuneError("the model is missing; run `attune models fetch`")

    with pytest.raises(AttuneError, match="model is missing"):
        start(open_models=broken)
    with pytest.raises(AttuneError, match=r"\[segmenter\] contradict"):
        start(segmenter__start_threshold=0.2)
    assert start().do("ask", text="hello")[-1]["reply"] == "0 hello"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_cleanly_and_a_kill_is_survived(
    folder: Path, number: signal.Signals
) -> None:
    settings = make_settings(folder)
    environment = {
        **os.environ,
        "ATTUNE__STATE_DIR": str(settings.state_dir),
        "ATTUNE__CONTROL__SOCKET": str(settings.control.socket),
        "ATTUNE__AUDIO__SOURCE": "none",
    }
    for how in (signal.SIGKILL, number):
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.tiny_daemon"],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        line = process.stderr.readline()
        assert "serving at" in line, line + process.stderr.read()
        [status] = request(settings.control.socket, {"command": "status"}, 120)
        assert status["process"] == process.pid
        process.send_signal(how)
        assert process.wait(120) == (0 if how is number else -signal.SIGKILL)
        process.stderr.close()
    assert not settings.control.socket.exists()
