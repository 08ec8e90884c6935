"""`attune vocabulary`: what is added is heard in the next request, and what cannot be added is one
clear line."""

import json
from pathlib import Path

import pytest

from daemon.app import App
from daemon.store.personal_vocabulary import MAX_PHRASES
from engines.audio.recordings import write_flac
from tests.daemon.cli.test_cli import Attune, attune, daemon, folder, one_line
from tests.support.fakes import tone

__all__ = ["attune", "daemon", "folder"]


@pytest.fixture
def recording(folder: Path) -> Path:
    path = folder / "tone.flac"
    write_flac(path, tone(1.0, 220.0))
    return path


def heard(attune: Attune, recording: Path, *options: str) -> str:
    code, out, err = attune("ask", recording, "--route", "cascade", "--json", *options)
    assert code == 0, err
    events = [json.loads(line) for line in out.splitlines()]
    return str(next(event["heard"] for event in events if event["event"] == "turn"))


def test_a_phrase_is_heard_from_the_next_request_on(
    attune: Attune, daemon: App, recording: Path
) -> None:
    assert heard(attune, recording) == "a tone of 220"
    code, out, _ = attune("vocabulary", "add", "Tonne", "living  room")
    assert (code, out) == (0, "2 phrases added; the vocabulary has 2 phrases\n")
    assert heard(attune, recording) == "a Tonne of 220"
    assert "living room" in attune("vocabulary", "list")[1]
    assert attune("vocabulary", "remove", "tonne")[1].startswith("1 phrase removed; ")
    assert heard(attune, recording) == "a tone of 220"
    one_line(attune("vocabulary", "remove", "tonne"))


def test_a_request_may_expect_phrases_of_its_own(
    attune: Attune, daemon: App, recording: Path
) -> None:
    assert heard(attune, recording, "--expect", "Tonne") == "a Tonne of 220"
    assert heard(attune, recording) == "a tone of 220"
    assert "has no letter" in one_line(attune("ask", recording, "--expect", "!?"))


def test_a_recording_tells_how_a_phrase_sounds(
    attune: Attune, daemon: App, recording: Path
) -> None:
    code, out, _ = attune("vocabulary", "add", "Xanthe", "--recording", recording)
    assert code == 0
    assert 'it sounds to Attune like "a tone of 220"' in out
    found = json.loads(attune("vocabulary", "list", "--json")[1])
    assert found["phrases"] == [{"text": "Xanthe", "weight": 1.0, "heard_as": ["a tone of 220"]}]
    assert heard(attune, recording) == "Xanthe"
    two = attune("vocabulary", "add", "Ann", "Bea", "--recording", recording)
    assert "goes with one phrase" in one_line(two)
    assert "does not exist" in one_line(
        attune("vocabulary", "add", "Ann", "--recording", recording.with_name("none.wav"))
    )


def test_a_file_of_phrases(attune: Attune, daemon: App, folder: Path) -> None:
    file = folder / "names.txt"
    file.write_text("\ufeffSiobhan\n\nmetoprolol\t2\nZoë Müller\t0.5\n")
    assert attune("vocabulary", "import", file)[1].startswith("3 phrases added")
    listed = json.loads(attune("vocabulary", "list", "--json")[1])["phrases"]
    assert {one["text"]: one["weight"] for one in listed} == {
        "Siobhan": 1.0,
        "metoprolol": 2.0,
        "Zoë Müller": 0.5,
    }
    assert attune("vocabulary", "import", file)[1].startswith("nothing new")


def test_a_file_is_added_whole_or_not_at_all(attune: Attune, daemon: App, folder: Path) -> None:
    file = folder / "names.txt"
    file.write_text("".join(f"name {number}\n" for number in range(MAX_PHRASES)))
    attune("vocabulary", "add", "Ann")
    assert "remove some first" in one_line(attune("vocabulary", "import", file))
    assert len(json.loads(attune("vocabulary", "list", "--json")[1])["phrases"]) == 1
    attune("vocabulary", "remove", "Ann")
    assert attune("vocabulary", "import", file)[1].startswith("5000 phrases added")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"Ann\nBea\theavy\n", "line 2: 'heavy' is no weight"),
        (b"Ann\t9\n", "line 1: '9' is no weight"),
        (b"Ann\n??\n", "line 2: '??' has no letter"),
        (b"\n", "has no phrase"),
        (b"\xff\xfe", "cannot be read as UTF-8 text"),
    ],
)
def test_a_bad_file_adds_nothing(
    attune: Attune, daemon: App, folder: Path, content: bytes, says: str
) -> None:
    file = folder / "names.txt"
    file.write_bytes(content)
    assert says in one_line(attune("vocabulary", "import", file))
    assert "is empty" in attune("vocabulary", "list")[1]
