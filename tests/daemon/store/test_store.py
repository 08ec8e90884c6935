"""The store: nothing heard is lost, whatever happens to the process, the disk or the database."""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.clocks import Clocks
from daemon.store.orphans import adopt_orphans
from daemon.store.records import Round, RoundOutcome, Turn
from daemon.store.schema import MIGRATIONS, migrate
from daemon.store.sqlite import sqlite3
from daemon.store.store import Store, is_holdout, utterance_id
from engines.audio.recordings import read_audio, write_flac
from engines.errors import AttuneError
from engines.jobs.messages import Origin
from tests.support.database import connect
from tests.support.fakes import tone
from tests.support.stored_labels import labelled, said_by_first_user

NEWEST = len(list(MIGRATIONS.glob("*.sql")))


def turn(heard: str, utterance: str | None = None) -> Turn:
    return Turn(utterance, "cascade", heard, "reply", 12.5, 80.0, None, 1.0)


def test_an_utterance_comes_back_as_it_was_stored(tmp_path: Path) -> None:
    store = Store(tmp_path, Clocks(wall=lambda: 123.0))
    utterance = store.add_utterance(tone(1.5), "microphone")
    assert (utterance.seconds, utterance.source, utterance.created_at) == (1.5, "microphone", 123.0)
    assert len(utterance.id) == 32
    assert np.abs(read_audio(utterance.audio) - tone(1.5)).max() < 1e-4
    assert utterance_id(read_audio(utterance.audio)) == utterance.id
    store.close()
    reopened = Store(tmp_path)
    assert reopened.utterance(utterance.id) == utterance
    assert reopened.utterance("0" * 32) is None
    reopened.close()


def test_the_same_audio_is_one_utterance_and_lost_audio_is_written_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = store.add_utterance(tone(0.5), "enrolled")
    assert store.add_utterance(tone(0.5), "file") == first
    first.audio.unlink()
    assert store.add_utterance(tone(0.5), "file") == first
    assert first.audio.is_file()
    assert store.counts().utterances == 1
    store.close()


def test_what_a_person_said_beats_what_was_recognised(tmp_path: Path) -> None:
    store = Store(tmp_path)
    utterance = store.add_utterance(tone(0.5), "microphone").id
    store.add_label(utterance, "turn of the light", "recognised", 0.9)
    assert [(example.text, example.confidence) for example in labelled(store)] == [
        ("turn of the light", 0.9)
    ]
    store.add_label(utterance, "turn off the light", "corrected")
    store.add_label(utterance, "turn of the lights", "recognised", 0.95)
    [example] = labelled(store)
    assert (example.text, example.origin) == ("turn off the light", "corrected")
    store.add_label(utterance, "turn off all lights", "corrected")
    assert labelled(store)[0].text == "turn off all lights"
    assert store.counts().labels_by_origin == {"corrected": 1}
    store.close()


def test_doubtful_labels_are_not_learnt_from_but_count_as_labels(tmp_path: Path) -> None:
    store = Store(tmp_path)
    sure, doubtful, none = (
        store.add_utterance(tone(0.5, pitch), "microphone") for pitch in (200, 300, 400)
    )
    store.add_label(sure.id, "yes", "recognised", 0.9)
    store.add_label(doubtful.id, "perhaps", "recognised", 0.5)
    said_by_first_user(store)
    assert [example.id for example in labelled(store, min_confidence=0.85)] == [sure.id]
    assert [utterance.id for utterance in store.missing_labels()] == [none.id]
    assert store.counts(min_confidence=0.85).new_labels == 1
    assert store.counts().unlabelled == 1
    store.close()


def test_a_round_makes_labels_old_only_where_it_finished(tmp_path: Path) -> None:
    store = Store(tmp_path)
    outcomes: tuple[RoundOutcome, ...] = ("failed", "cancelled", "refused")
    for index, outcome in enumerate(outcomes):
        store.add_label(
            store.add_utterance(tone(0.5, 200 + 50 * index), "microphone").id, "yes", "enrolled"
        )
        before = store.counts()
        assert before.new_labels == index + 1
        store.history.add_round(Round(0.0, 1.0, None, outcome, "because", before.last_label))
    assert store.counts().new_labels == 0
    last = store.history.last_round()
    assert last is not None
    assert (last.outcome, last.reason) == ("refused", "because")
    store.close()


@settings(max_examples=25)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 5), st.sampled_from(get_args(Origin)), st.sampled_from([0.5, 0.9])
        ),
        max_size=20,
    )
)
def test_counts_are_those_of_the_labels_that_count(labels: list[tuple[int, Origin, float]]) -> None:
    with TemporaryDirectory() as folder:
        store = Store(Path(folder))
        ids = [store.add_utterance(tone(0.05, 200 + 50 * index), "file").id for index in range(6)]
        for number, (place, origin, confidence) in enumerate(labels):
            store.add_label(ids[place], f"text {number}", origin, confidence)
            assert sum(store.counts().labels_by_origin.values()) == len(
                {ids[p] for p, _, _ in labels[: number + 1]}
            )
        said_by_first_user(store)
        counts = store.counts(min_confidence=0.85)
        chosen = store.rows("SELECT origin, count(*) FROM chosen_labels GROUP BY origin")
        assert counts.labels_by_origin == dict(chosen)
        assert counts.to_label == len(store.missing_labels())
        learnt = (
            "SELECT count(*) FROM chosen_labels WHERE origin != 'recognised' OR confidence >= 0.85"
        )
        assert counts.new_labels == store.rows(learnt)[0][0]
        store.close()


def test_what_another_connection_writes_is_counted(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.counts().turns == 0
    store.history.add_turn(turn("one"))
    assert store.counts().turns == 1
    with closing(connect(store.path)) as other, other:
        other.execute("DELETE FROM turns")
    assert store.counts().turns == 0
    store.close()


def test_a_text_is_found_by_its_utterance(tmp_path: Path) -> None:
    store = Store(tmp_path)
    one, none = (store.add_utterance(tone(0.5, pitch), "microphone").id for pitch in (200, 300))
    store.add_label(one, "off", "corrected")
    store.add_label(one, "of", "recognised", 0.9)
    assert [store.text_of(name) for name in (one, none, "f" * 32)] == ["off", "", ""]
    assert [store.is_labelled(name) for name in (one, none)] == [True, False]
    store.close()


@pytest.mark.parametrize("text", ["", "   \n ", "x" * 1001])
def test_a_label_is_bounded(tmp_path: Path, text: str) -> None:
    store = Store(tmp_path)
    utterance = store.add_utterance(tone(0.5), "file").id
    with pytest.raises(AttuneError, match="1 to 1000 characters"):
        store.add_label(utterance, text, "corrected")
    with pytest.raises(AttuneError, match="no utterance"):
        store.add_label("f" * 32, "words", "corrected")
    assert store.counts().unlabelled == 1
    store.close()


def test_turns_come_back_newest_first(tmp_path: Path) -> None:
    store = Store(tmp_path)
    utterance = store.add_utterance(tone(0.5), "file").id
    kept = [
        store.history.add_turn(turn("one", utterance)),
        store.history.add_turn(turn("two")),
        store.history.add_turn(turn("three")),
    ]
    assert store.history.last_turns(2) == [kept[2], kept[1]]
    assert store.history.turn(kept[1].id) == kept[1]
    assert store.history.turn(99) is None
    assert store.history.last_spoken_turn() == kept[0]
    store.close()


@given(st.binary(min_size=16, max_size=16).map(bytes.hex))
def test_the_holdout_depends_on_the_id_alone(identifier: str) -> None:
    assert is_holdout(identifier) == (int(identifier[:8], 16) % 8 == 0)


def test_about_one_in_eight_is_held_out() -> None:
    held = sum(is_holdout(utterance_id(tone(0.05, 100 + index))) for index in range(800))
    assert 60 < held < 140


def test_threads_share_a_store(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def add(start: int) -> None:
        for index in range(start, start + 10):
            store.add_label(
                store.add_utterance(tone(0.1, 100 + index), "file").id,
                f"number {index}",
                "enrolled",
            )

    threads = [threading.Thread(target=add, args=(100 * number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(labelled(store)) == 40
    store.close()


# --- faults


def test_a_damaged_database_is_named_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "attune.db").write_bytes(b"this is no database " * 500)
    with pytest.raises(AttuneError, match=r"attune\.db is damaged .*move the database aside"):
        Store(tmp_path)
    assert (tmp_path / "attune.db").read_bytes().startswith(b"this is no database")


def test_a_page_that_was_overwritten_is_noticed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for index in range(30):
        store.history.add_turn(turn("words " * 100 + str(index)))
    store.close()
    content = bytearray((tmp_path / "attune.db").read_bytes())
    content[8192:12288] = b"\xa5" * 4096
    (tmp_path / "attune.db").write_bytes(content)
    with pytest.raises(AttuneError, match="is damaged"):
        Store(tmp_path)


def test_a_database_moved_aside_loses_no_audio(tmp_path: Path) -> None:
    store = Store(tmp_path)
    utterance = store.add_utterance(tone(0.5), "microphone")
    store.close()
    (tmp_path / "attune.db").rename(tmp_path / "aside.db")
    again = Store(tmp_path)
    assert adopt_orphans(again, time.time()) == 1
    found = again.utterance(utterance.id)
    assert found is not None
    assert (found.source, found.seconds, found.holdout) == ("recovered", 0.5, utterance.holdout)
    again.close()


def test_audio_without_a_row_is_taken_up_and_strangers_are_left(tmp_path: Path) -> None:
    Store(tmp_path).close()
    audio = tmp_path / "audio"
    orphan = audio / f"{utterance_id(tone(0.7))}.flac"
    write_flac(orphan, tone(0.7))
    write_flac(audio / ("0" * 32 + ".flac"), tone(0.9))
    (audio / "broken.flac").write_bytes(b"fLaC and then nothing")
    half = audio / f".{orphan.name}-abc"
    half.write_bytes(b"half")
    future = time.time() + 86_400  # whatever the clock says
    os.utime(orphan, (future, future))
    store = Store(tmp_path)
    assert adopt_orphans(store, time.time()) == 1
    assert store.counts().utterances == 1
    assert store.utterance(orphan.stem) is not None
    assert sorted(path.name for path in audio.iterdir()) == sorted(
        [orphan.name, "0" * 32 + ".flac", "broken.flac"]
    )
    store.close()


def test_a_newer_database_is_refused(tmp_path: Path) -> None:
    Store(tmp_path).close()
    with connect(tmp_path / "attune.db") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(
        AttuneError, match=f"form 99, this program knows {NEWEST}; start a newer Attune"
    ):
        Store(tmp_path)


def test_a_database_of_every_older_form_is_brought_up_with_what_it_holds(tmp_path: Path) -> None:
    for form in range(1, NEWEST):
        steps, folder = tmp_path / f"steps{form}", tmp_path / f"state{form}"
        steps.mkdir()
        folder.mkdir()
        for number in range(1, form + 1):
            [step] = MIGRATIONS.glob(f"{number:04d}_*.sql")
            (steps / step.name).write_text(step.read_text(encoding="utf-8"), encoding="utf-8")
        older = migrate(folder / "attune.db", steps)
        with older:
            older.execute(
                "INSERT INTO turns (id, utterance, route, heard, reply, first_token_ms, reply_ms,"
                " generation, created_at) VALUES (7, NULL, 'text', 'hello', 'reply', 1.0, 2.0,"
                " NULL, 3.0)"
            )
        older.close()
        store = Store(folder)
        assert [(one.id, one.heard) for one in store.history.last_turns(9)] == [(7, "hello")]
        store.history.add_move(3, "by hand")
        assert [move.generation for move in store.history.last_moves(1)] == [3]
        store.close()


def test_transcripts_that_an_older_version_cut_off_are_made_anew(tmp_path: Path) -> None:
    """Long ones that were recognised, and no others."""
    steps = tmp_path / "steps"
    steps.mkdir()
    for step in MIGRATIONS.glob("000[1-4]_*.sql"):
        (steps / step.name).write_text(step.read_text(encoding="utf-8"), encoding="utf-8")
    older = migrate(tmp_path / "attune.db", steps)
    with older:
        for number, (seconds, origin) in enumerate(
            [(20.0, "recognised"), (20.0, "enrolled"), (3.0, "recognised")]
        ):
            older.execute(
                "INSERT INTO utterances (id, created_at, seconds, source, audio, holdout,"
                " service_at) VALUES (?, 0, ?, '', ?, 0, 0)",
                (f"{number:032}", seconds, f"{number}.flac"),
            )
            older.execute(
                "INSERT INTO labels (utterance, text, origin, confidence, created_at) VALUES (?,"
                " 'text', ?, 0.9, 0)",
                (f"{number:032}", origin),
            )
    older.close()
    (tmp_path / "audio").mkdir()
    (tmp_path / "audio" / "0.flac").touch()
    store = Store(tmp_path)
    said_by_first_user(store)
    assert store.counts().labels_by_origin == {"enrolled": 1, "recognised": 1}
    assert [utterance.id for utterance in store.missing_labels()] == [f"{0:032}"]
    store.close()


def test_a_migration_is_applied_whole_or_not_at_all(tmp_path: Path) -> None:
    steps = tmp_path / "steps"
    steps.mkdir()
    for step in MIGRATIONS.iterdir():
        (steps / step.name).write_text(step.read_text(encoding="utf-8"), encoding="utf-8")
    migrate(tmp_path / "a.db", steps).close()
    second = steps / f"{NEWEST + 1:04d}_next.sql"
    second.write_text("CREATE TABLE added (x); CREATE TABLE utterances (y);", encoding="utf-8")
    with pytest.raises(sqlite3.OperationalError):
        migrate(tmp_path / "a.db", steps)
    second.write_text("CREATE TABLE added (x);", encoding="utf-8")
    connection = migrate(tmp_path / "a.db", steps)
    assert connection.execute("PRAGMA user_version").fetchone() == (NEWEST + 1,)
    connection.close()


def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    store = Store(tmp_path)
    pages = store._database.connection.execute("PRAGMA page_count").fetchone()[0]
    store._database.connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(AttuneError, match="disk is full; free"):
        store.history.add_turn(turn("words " * 50_000))
    assert store.counts().turns == 0
    store._database.connection.execute("PRAGMA max_page_count = 1000000")
    store.history.add_turn(turn("fine again"))
    assert store.counts().turns == 1
    store.close()


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(AttuneError, match="cannot be written"):
        Store(tmp_path / "file" / "state")


def test_a_kill_loses_nothing_that_was_confirmed(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib\n"
        "from daemon.store.store import Store\n"
        "from tests.support.fakes import tone\n"
        "store = Store(pathlib.Path(sys.argv[1]))\n"
        "for index in range(10_000):\n"
        "    utterance = store.add_utterance(tone(0.1, 100 + index), 'microphone')\n"
        "    store.add_label(utterance.id, f'number {index}', 'enrolled')\n"
        "    print(utterance.id, flush=True)\n"
    )
    writer = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    confirmed = [writer.stdout.readline().strip() for _ in range(25)]
    writer.send_signal(signal.SIGKILL)
    confirmed += [line.strip() for line in writer.stdout if len(line) == 33]
    writer.wait()
    writer.stdout.close()
    store = Store(tmp_path)
    adopt_orphans(store, time.time())
    assert set(confirmed) <= {example.id for example in labelled(store)}
    assert store.counts().utterances == len(list((tmp_path / "audio").glob("*.flac")))
    assert not list((tmp_path / "audio").glob(".*"))
    store.close()
