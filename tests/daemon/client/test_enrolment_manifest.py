"""Manifests of recordings: as people's programs write them, and what is none is told in one
line."""

import codecs
import json
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemon.client.manifest import BadRow, Row, read_manifest
from engines.audio.recordings import write_flac
from engines.errors import AttuneError
from tests.support.audio_fixtures import write_wav
from tests.support.database import connect
from tests.support.fake_child import eventually
from tests.support.fakes import tone
from tests.support.running_daemon import Daemon, Start, folder, start
from tests.support.stored_labels import labelled

__all__ = ["folder", "start"]


def written(folder: Path, content: bytes) -> Path:
    (folder / "m.jsonl").write_bytes(content)
    return folder / "m.jsonl"


def row(audio: str = "a.flac", text: str = "hello") -> bytes:
    return json.dumps({"audio": audio, "text": text}, ensure_ascii=False).encode() + b"\n"


def texts(path: Path) -> list[str]:
    return [found.text if isinstance(found, Row) else "bad" for _, found in read_manifest(path)]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\n\n", b" \n"])
def test_marks_and_line_ends_of_other_programs_are_taken(tmp_path: Path, end: bytes) -> None:
    # Two files in one.
    lines = [
        codecs.BOM_UTF8 + row(text="one"),
        row(text="Grüße"),
        codecs.BOM_UTF8 + row(text="three\u2028and"),
    ]
    assert texts(written(tmp_path, end.join(line.strip() for line in lines))) == [
        "one",
        "Grüße",
        "three\u2028and",
    ]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_another_encoding_is_one_line(tmp_path: Path, encoding: str) -> None:
    marks = {"utf-16-le": codecs.BOM_UTF16_LE, "utf-16-be": codecs.BOM_UTF16_BE}
    path = written(tmp_path, marks.get(encoding, b"") + row().decode().encode(encoding))
    with pytest.raises(AttuneError, match=r"m\.jsonl is UTF-(16|32) text; save it as UTF-8"):
        list(read_manifest(path))


NOT_MANIFESTS = {
    "array over many lines": json.dumps([{"audio": "a.wav", "text": "x"}] * 50, indent=1).encode(),
    "array on one line": json.dumps([{"audio": "a.wav", "text": "x"}] * 50).encode(),
    "object over many lines": json.dumps({"audio": "a.wav", "text": "x"}, indent=1).encode(),
    "a table": b"audio,text\n" + b"a.wav,hello\n" * 1000,
    "JSON lines of something else": b'{"path": "a.wav", "sentence": "x"}\n' * 1000,
    "a line without an end": b"x" * 3_000_000,
    "one word": b"hello",
    "an array of one row": b'[\n {"audio": "a.wav", "text": "x"}\n]\n',
    "UTF-16 without a mark": row().decode().encode("utf-16-le") * 10,
    "zeros": bytes(100_000),
}


@pytest.mark.parametrize("content", NOT_MANIFESTS.values(), ids=NOT_MANIFESTS.keys())
def test_what_is_no_manifest_is_one_line(tmp_path: Path, content: bytes) -> None:
    found = read_manifest(written(tmp_path, content))
    with pytest.raises(
        AttuneError, match=r"m\.jsonl is not a manifest \(line \d+: .*\); give"
    ) as caught:
        next(found)
    assert len(str(caught.value)) < 400 + len(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_a_recording_is_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(AttuneError, match=r"question\.wav is not a manifest"):
        list(read_manifest(write_wav(tmp_path / "question.wav", tone(2.0))))


@pytest.mark.parametrize("content", [b"", b"\n\n \n", codecs.BOM_UTF8])
def test_an_empty_manifest_is_one_line(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(AttuneError, match=r"has no rows|is not a manifest"):
        list(read_manifest(written(tmp_path, content)))


def test_a_slip_in_the_first_line_is_a_bad_row(tmp_path: Path) -> None:
    path = written(
        tmp_path, b"{audio: a.flac}\n" + row(text="one") + b"nonsense\n" + row(text="two")
    )
    assert texts(path) == ["bad", "one", "bad", "two"]


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    parts=st.lists(
        st.one_of(st.just(row()), st.binary(max_size=40), st.just(b"\n"), st.just(b"x" * 20_000)),
        max_size=12,
    )
)
def test_whatever_it_holds_there_are_rows_or_one_line(tmp_path: Path, parts: list[bytes]) -> None:
    try:
        found = list(read_manifest(written(tmp_path, b"".join(parts))))
    except AttuneError as error:
        problems = [str(error)]
    else:
        problems = [one.problem for _, one in found if isinstance(one, BadRow)]
        assert [number for number, _ in found] == sorted({number for number, _ in found})
    assert not any("\n" in problem for problem in problems)


# --- what becomes of them in a daemon


@pytest.fixture
def daemon(start: Start, folder: Path) -> Daemon:
    for name, pitch_hz in (("a", 300), ("b", 400)):
        write_flac(folder / f"{name}.flac", tone(0.5, pitch_hz))
    return start()


def labels(daemon: Daemon) -> int:
    """How many were ever made."""
    with closing(connect(daemon.settings.state_dir / "attune.db")) as database:
        return int(database.execute("SELECT count(*) FROM labels").fetchone()[0])


def test_both_rows_of_a_manifest_with_a_mark_are_enrolled(daemon: Daemon, folder: Path) -> None:
    total = daemon.enroll(written(folder, codecs.BOM_UTF8 + row("a.flac") + row("b.flac")))[-1]
    assert (total["enrolled"], total["bad"], total["new"]) == (2, 0, 2)


def test_a_second_text_for_a_recording_contradicts_the_first(daemon: Daemon, folder: Path) -> None:
    path = written(folder, row("a.flac", "one") + row("a.flac", "another") + row("a.flac", " one "))
    for new in (1, 0):  # the second time there is nothing new in it
        *events, total = daemon.enroll(path)
        assert [event["event"] for event in events] == ["enrolled", "bad_row", "enrolled"]
        assert str(events[1]["problem"]).startswith("m.jsonl line 2: ")
        assert "is the recording of line 1, which has another text" in str(events[1]["problem"])
        assert (total["enrolled"], total["bad"], total["new"], total["seconds"]) == (1, 1, new, 0.5)
        assert labels(daemon) == 1


def test_another_text_from_another_manifest_takes_the_place_only_where_that_is_wanted(
    daemon: Daemon, folder: Path
) -> None:
    for text, replace, kept in (
        ("one", False, "one"),
        ("two", False, "one"),
        ("two", True, "two"),
        ("two", True, "two"),
    ):
        daemon.enroll(written(folder, row("a.flac", text)), replace)
        assert [example.text for example in labelled(daemon.app.parts.store)] == [kept]
        assert labels(daemon) == 1


def test_a_correction_outlives_enrolling_again(daemon: Daemon, folder: Path) -> None:
    path = written(folder, row("a.flac", "one"))
    daemon.enroll(path)
    daemon.do("ask", audio=folder / "a.flac")
    daemon.do("correct", text="what was really said")
    assert daemon.enroll(path)[-1]["new"] == 0
    assert daemon.status()["counts"]["labels_by_origin"] == {"corrected": 1}


def test_a_manifest_of_which_nothing_is_good_ends_soon(daemon: Daemon, folder: Path) -> None:
    told = []
    with pytest.raises(AttuneError, match="the first 20 rows of .* are all bad"):
        told = daemon.enroll(written(folder, row("gone.flac") * 1000))
    assert told == []
    assert eventually(lambda: daemon.status()["attentive"] is False)


def test_names_that_cannot_be_files_are_bad_rows(daemon: Daemon, folder: Path) -> None:
    names = ["a\0b.flac", "x" * 5000, "\udcff.flac", "not\x1b[2Jthere.flac", ""]
    lines = b"".join(json.dumps({"audio": name, "text": "x"}).encode() + b"\n" for name in names)
    *_, total = daemon.enroll(written(folder, row("a.flac") + lines))
    assert (total["enrolled"], total["bad"]) == (1, len(names))
