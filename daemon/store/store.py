"""Stores what was heard, what it meant, what was answered, and what was learnt from it, in an
SQLite database beside a folder of FLAC files.

Audio is written before its row. A file without a row, because the process was killed in between or
the database was moved aside, becomes an utterance again at the next start. Nothing is deleted
unless a caller names it. Each row has the time of the wall clock, for the user, and of the service
clock, for its age. Knows no model and no conversation.
"""

import hashlib
import json
import logging
import os
import threading
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, astuple
from pathlib import Path

import numpy as np

from engines.audio.recordings import write_flac
from engines.errors import AttuneError
from engines.jobs.messages import Origin
from engines.types import SAMPLE_RATE_HZ, Float32

from ..clocks import REAL_TIME, Clocks, is_set
from .database import Database
from .history import History
from .later_writes import LaterWrites
from .lost_database import preserved_loss
from .records import FIRST_USER, STRANGERS, Counts, Spoken, Utterance
from .retention import Stored
from .service_clock import Reading, ServiceClock, date_of
from .sqlite import sqlite3

logger = logging.getLogger(__name__)

DATABASE = "attune.db"
MAX_LABEL_CHARACTERS = 1000
HOLDOUT_ONE_IN = 8
_NOTICE_SECONDS = 30 * 86_400.0
"""Seconds for which the user is told what happened to the store."""


def utterance_id(samples: Float32) -> str:
    """Return the id of this audio, from its 16-bit samples: 32 hexadecimal digits, the same for the
    same audio."""
    return hashlib.sha256(_pcm(samples).tobytes()).hexdigest()[:32]


def _pcm(samples: Float32) -> np.ndarray[tuple[int, ...], np.dtype[np.int16]]:
    return np.clip(np.round(samples * 32768.0), -32768, 32767).astype("<i2")


def is_holdout(identifier: str) -> bool:
    """Return whether an utterance is held out from training. Its id alone decides, so that it never
    changes sides."""
    return int(identifier[:8], 16) % HOLDOUT_ONE_IN == 0


class Store:
    """Utterances and their labels, under `folder`, and `history`; safe to use from several
    threads."""

    def __init__(self, folder: Path, clocks: Clocks = REAL_TIME) -> None:
        """Open or create the store. Raises AttuneError if the database is damaged, newer than this
        program, or out of reach."""
        self.audio_folder = folder / "audio"
        self.path = folder / DATABASE
        self.clocks = clocks
        self._audio_lock = threading.Lock()
        """Held while a file and its row are added or removed together."""
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.audio_folder.mkdir(exist_ok=True, mode=0o700)
            loss = preserved_loss(self.path, self.audio_folder)
        except OSError as error:
            raise AttuneError(
                f"{error.filename} cannot be written: {error.strerror}; set state_dir to another"
                " folder"
            ) from error
        self._database = Database(self.path)
        self._file = self.path.stat().st_ino
        saved = self.rows("SELECT seconds, wall, elapsed, boot FROM service_clock")
        self._service_clock = ServiceClock(clocks, Reading(*saved[0]) if saved else None)
        self.later = LaterWrites()
        self.forgettings = 0
        """How often something was forgotten since the start: what was said before that may belong
        to it, and is not stored afterwards."""
        self.history = History(self)
        """The turns, the rounds, and which generation was served when."""
        if loss:
            logger.error("%s", loss)
            self.notice(loss)

    def close(self) -> None:
        """Do the writes that still wait, and save the service clock, if that takes only seconds;
        then close the database."""
        self.later.close()
        try:
            with self.writing():
                pass
        except AttuneError as error:
            logger.debug("the service clock will continue from where it was saved last: %s", error)
        self._database.close()

    def change_keys(self, encrypt_again: Callable[[Path], bool]) -> int:
        """Encrypt the database with the current key, and have `encrypt_again` do so with each audio
        file; it returns whether it had to. Returns how many files had another key. Raises
        AttuneError."""
        changed = int(self._database.change_key())
        self._file = self.path.stat().st_ino
        for path in sorted(self.audio_folder.glob("[!.]*")):
            with self._database.guarded(), self._audio_lock, suppress(FileNotFoundError):
                changed += encrypt_again(path)
        return changed

    # --- time

    def service_seconds(self) -> float:
        """Return the time of the service clock, by which ages are measured. It only grows, also
        from one start to the next."""
        return self._service_clock.now()

    def notice(self, text: str) -> None:
        """Store what the user must be told about the store."""
        with self.writing() as connection:
            row = (self.clocks.wall(), self.service_seconds(), text)
            connection.execute("INSERT INTO notices (at, service_at, text) VALUES (?, ?, ?)", row)

    def problems(self) -> list[str]:
        """Return what the user must be told, for `attune status`."""
        since = self.service_seconds() - _NOTICE_SECONDS
        found = [
            f"{text} ({date_of(at)})"
            for at, text in self.rows(
                "SELECT at, text FROM notices WHERE service_at >= ? ORDER BY id", since
            )
        ]
        if not is_set(now := self.clocks.wall()):
            found.append(
                f"the clock of this machine was never set: it says {date_of(now)}; set it, because"
                " dates are wrong until then"
            )
        if not self.path.exists() or self.path.stat().st_ino != self._file:
            found.append(
                f"the database {self.path} was removed or replaced while Attune ran: what is stored"
                " now is lost when it stops; start it again"
            )
        return found + self.later.problems()

    # --- utterances and labels

    def add_utterance(
        self,
        samples: Float32,
        source: str,
        longest_pause_seconds: float | None = None,
        *,
        served: int = FIRST_USER,
    ) -> Utterance:
        """Store `samples` ([N] mono at SAMPLE_RATE_HZ), said while user `served` was served, and
        the longest silence in them if it is known. The same audio is stored once. Raises
        AttuneError if the disk is full."""
        identifier = utterance_id(samples)
        path = self.audio_folder / f"{identifier}.flac"
        with self._database.guarded(), self._audio_lock:
            known = self.utterance(identifier)
            if not path.is_file():
                write_flac(path, samples)
            stored = known or self.add_row(
                identifier, len(samples) / SAMPLE_RATE_HZ, source, self.clocks.wall(), served
            )
            if longest_pause_seconds is not None:
                self.set_longest_pause(identifier, longest_pause_seconds)
            return stored

    def add_row(
        self,
        identifier: str,
        seconds: float,
        source: str,
        created_at: float,
        served: int = FIRST_USER,
    ) -> Utterance:
        """Store the utterance of an existing audio file; `created_at` is in seconds since the
        epoch."""
        name = f"{identifier}.flac"
        with self.writing() as connection:
            row = (
                identifier,
                created_at,
                seconds,
                source,
                name,
                is_holdout(identifier),
                self.service_seconds(),
                served,
            )
            connection.execute(
                "INSERT INTO utterances (id, created_at, seconds, source, audio, holdout,"
                " service_at, served) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                row,
            )
        return Utterance(
            identifier,
            created_at,
            seconds,
            source,
            self.audio_folder / name,
            is_holdout(identifier),
        )

    def utterance(self, identifier: str) -> Utterance | None:
        rows = self.rows(
            "SELECT id, created_at, seconds, source, audio, holdout FROM utterances WHERE id = ?",
            identifier,
        )
        return self._utterance(rows[0]) if rows else None

    def set_users(self, spoken: Sequence[Spoken]) -> None:
        """Store whose voices utterances are. Those that are gone are left out, and those of users
        who are; what a voice tells is, if a person has said whose it is."""
        now = self.service_seconds()
        with self.writing() as connection:
            connection.executemany(
                "UPDATE utterances SET user = :user, user_by = :by, user_confidence = :confidence,"
                " user_told_at = :now WHERE id = :utterance AND (:user IS NULL OR EXISTS (SELECT 1"
                " FROM users WHERE id = :user)) AND (:by IN ('enrolled', 'hand') OR user_by IS NULL"
                " OR user_by IN ('voice', 'unclear'))",
                [asdict(one) | {"now": now} for one in spoken],
            )

    def users_of(self, utterances: Sequence[str]) -> dict[str, tuple[int | None, str | None]]:
        """Return whose voices `utterances` are, and how that is known, by their ids."""
        rows = self.rows(
            "SELECT u.id, user, user_by FROM json_each(?) wanted JOIN utterances u ON u.id ="
            " wanted.value",
            json.dumps(list(utterances)),
        )
        return {name: (user, by) for name, user, by in rows}

    def set_longest_pause(self, identifier: str, seconds: float) -> None:
        """Store the longest silence within an utterance."""
        with self.writing() as connection:
            connection.execute(
                "UPDATE utterances SET longest_pause_seconds = ? WHERE id = ?",
                (seconds, identifier),
            )

    def longest_pauses(self, count: int, user: int = FIRST_USER) -> list[float]:
        """Return the longest silence in each of the latest `count` utterances that were measured
        and are the own turn or sentence of `user`; a file may hold anything."""
        rows = self.rows(
            "SELECT longest_pause_seconds FROM utterances WHERE longest_pause_seconds IS NOT NULL"  # noqa: S608
            " AND source NOT IN ('file', 'recovered') AND coalesce(user, served) = ? AND NOT"
            f" ({STRANGERS}) ORDER BY service_at DESC, rowid DESC LIMIT ?",
            user,
            count,
        )
        return [float(seconds) for (seconds,) in rows]

    def without_pause(self, count: int, among: int) -> list[Utterance]:
        """Return up to `count` of the latest `among` utterances of the user whose silences were not
        measured."""
        rows = self.rows(
            "SELECT id, created_at, seconds, source, audio, holdout FROM (SELECT * FROM utterances"
            " WHERE source NOT IN ('file', 'recovered') ORDER BY service_at DESC, rowid DESC"
            " LIMIT ?) WHERE longest_pause_seconds IS NULL LIMIT ?",
            among,
            count,
        )
        return [self._utterance(row) for row in rows]

    def latest_audio_without(self, words: str, seconds: float) -> list[Path]:
        """Return the audio of the user's latest utterances, up to `seconds` of them, that are known
        to say other things: in which `words` do not follow one another."""
        rows = self.rows(
            "SELECT u.audio, u.seconds, coalesce(c.text, max(t.heard), '') FROM utterances u"
            " LEFT JOIN chosen_labels c ON c.utterance = u.id LEFT JOIN turns t ON t.utterance ="
            " u.id WHERE u.source NOT IN ('file', 'recovered') GROUP BY u.id"
            " ORDER BY u.service_at DESC, u.rowid DESC"
        )
        found: list[Path] = []
        left_seconds = seconds
        for name, length, text in rows:
            path = self.audio_folder / name
            if left_seconds <= 0:
                break
            if said := plain_words(text):
                if plain_words(words) in said or not path.is_file():
                    continue
                found.append(path)
                left_seconds -= length
        return found

    def add_label(self, utterance: str, text: str, origin: Origin, confidence: float = 1.0) -> None:
        """Store a label that says what `utterance` means. One that is enrolled is the voice of the
        user who was served. Raises AttuneError if the text is empty or too long, or the utterance
        is unknown."""
        text = " ".join(text.split())
        if not text or len(text) > MAX_LABEL_CHARACTERS:
            raise AttuneError(
                f"a label has 1 to {MAX_LABEL_CHARACTERS} characters, not {len(text)}; give what"
                " was said"
            )
        with self.writing() as connection:
            if self.utterance(utterance) is None:  # it may be forgotten meanwhile
                raise AttuneError(f"there is no utterance {utterance} in {self.path}")
            latest = self.rows(
                "SELECT text, origin FROM labels WHERE utterance = ? ORDER BY id DESC LIMIT 1",
                utterance,
            )
            if latest != [(text, origin)]:
                connection.execute(
                    "INSERT INTO labels (utterance, text, origin, confidence, created_at) VALUES"
                    " (?, ?, ?, ?, ?)",
                    (utterance, text, origin, confidence, self.clocks.wall()),
                )
            if origin == "enrolled":
                connection.execute(
                    "UPDATE utterances SET user = served, user_by = 'enrolled', user_confidence ="
                    " 1 WHERE id = ? AND user_by IS NOT 'hand'",
                    (utterance,),
                )

    def replace_label(self, utterance: str, text: str, origin: Origin) -> None:
        """Store a label as `add_label` does, and remove every other label of `utterance`."""
        with self.writing() as connection:
            self.add_label(utterance, text, origin)
            # The new label first: otherwise SQLite may give it the id of a removed one, and a label
            # with an old id counts as learnt.
            older = "SELECT id FROM labels WHERE utterance = ? ORDER BY id DESC LIMIT -1 OFFSET 1"
            for number in self.rows(older, utterance):
                connection.execute("DELETE FROM labels WHERE id = ?", number)

    def confirmed_text(self, utterance: str) -> str | None:
        """Return the text that the user last gave `utterance`; None if there is none."""
        rows = self.rows(
            "SELECT text FROM chosen_labels WHERE utterance = ? AND origin != 'recognised'",
            utterance,
        )
        return str(rows[0][0]) if rows else None

    def given_texts(self, utterances: Sequence[str]) -> list[tuple[str, str, Origin]]:
        """Return the texts that the user gave `utterances`: for each an id, a text and its origin,
        the oldest first."""
        return self.rows(
            "SELECT l.utterance, l.text, l.origin FROM json_each(?) wanted JOIN labels l ON"
            " l.utterance = wanted.value WHERE l.origin != 'recognised' ORDER BY l.utterance, l.id",
            json.dumps(list(utterances)),
        )

    def is_labelled(self, utterance: str) -> bool:
        return bool(self.rows("SELECT 1 FROM labels WHERE utterance = ? LIMIT 1", utterance))

    def text_of(self, utterance: str) -> str:
        """Return the label of `utterance`; empty if it has none, or does not exist."""
        rows = self.rows("SELECT text FROM chosen_labels WHERE utterance = ?", utterance)
        return str(rows[0][0]) if rows else ""

    def missing_labels(self, user: int = FIRST_USER) -> list[Utterance]:
        """Return the utterances of `user` without any label, the oldest first."""
        rows = self.rows(
            "SELECT id, created_at, seconds, source, audio, holdout FROM utterances"
            " WHERE label_origin IS NULL AND user = ? ORDER BY service_at, rowid",
            user,
        )
        return [utterance for utterance in map(self._utterance, rows) if utterance.audio.is_file()]

    def audio_bytes(self) -> int:
        """Return the size of all audio files on the disk, in bytes."""
        with self._database.guarded(), os.scandir(self.audio_folder) as files:
            return sum(file.stat().st_size for file in files)

    def stored_audio(self) -> list[Stored]:
        """Return the audio file of each utterance with its size, the oldest first. Those that the
        user enrolled or corrected are precious."""
        with self._database.guarded(), os.scandir(self.audio_folder) as files:
            sizes = {file.name: file.stat().st_size for file in files}
        rows = self.rows(
            "SELECT audio, coalesce(label_origin, '') FROM utterances ORDER BY service_at, rowid"
        )
        return [
            Stored(
                self.audio_folder / name, sizes[name], precious=origin in ("enrolled", "corrected")
            )
            for name, origin in rows
            if name in sizes
        ]

    def drop_audio(self, names: Sequence[str]) -> set[str]:
        """Remove those of the audio files `names` that no utterance has; return the others."""
        with self._database.guarded(), self._audio_lock:
            kept = {name for (name,) in self.rows("SELECT audio FROM utterances")} & set(names)
            for name in set(names) - kept:
                (self.audio_folder / name).unlink(missing_ok=True)
            return kept

    def old_audio(self, age_seconds: float) -> list[Path]:
        """Return the audio files of utterances that are older than `age_seconds` of the service
        clock, but for those that the user enrolled or corrected."""
        rows = self.rows(
            "SELECT audio FROM utterances WHERE service_at < ? AND coalesce(label_origin, '') NOT"
            " IN ('enrolled', 'corrected') ORDER BY service_at, rowid",
            self.service_seconds() - age_seconds,
        )
        return [self.audio_folder / name for (name,) in rows]

    def strangers_audio(self, age_seconds: float) -> list[Path]:
        """Return the audio files of utterances that are known for `age_seconds` of the service
        clock to be the voice of nobody who uses Attune, but for those that were corrected."""
        rows = self.rows(
            f"SELECT audio FROM utterances WHERE {STRANGERS} AND user_told_at < ? AND"  # noqa: S608
            " coalesce(label_origin, '') NOT IN ('enrolled', 'corrected') ORDER BY service_at,"
            " rowid",
            self.service_seconds() - age_seconds,
        )
        return [self.audio_folder / name for (name,) in rows]

    def forget(self, audio: Path) -> None:
        """Remove the utterance of an audio file, with its labels. Its turn stays."""
        with self._database.guarded(), self._audio_lock:
            # The row first, or a kill in between would leave a row without audio.
            with self.writing() as connection:
                connection.execute("DELETE FROM utterances WHERE audio = ?", (audio.name,))
            audio.unlink(missing_ok=True)

    # --- totals

    def counts(self, min_confidence: float = 0.0, user: int = FIRST_USER) -> Counts:
        """Return totals, within milliseconds. As new count the labels that a round of `user` may
        learn, and that none has learnt; not recognised ones below `min_confidence`."""
        totals = self.rows(
            "SELECT origin, utterances, seconds FROM totals WHERE utterances > 0 ORDER BY origin"
        )
        by_origin = {origin: utterances for origin, utterances, _ in totals}
        new = self.rows(
            "SELECT (SELECT count(*) FROM utterances WHERE user = ?1 AND label_origin IN"
            " ('enrolled', 'corrected') AND label > ?2) + (SELECT count(*) FROM utterances WHERE"
            " user = ?1 AND label_origin = 'recognised' AND label > ?2 AND label_confidence >= ?3)"
            " + (SELECT count(*) FROM utterances WHERE user IS NULL AND label_origin = 'corrected'"
            " AND label > ?2 AND user_by = 'unclear' AND served = ?1)",
            user,
            self.history.last_learnt_label(user),
            min_confidence,
        )
        unlabelled = self.rows(
            "SELECT count(*) FROM utterances WHERE user = ? AND label_origin IS NULL", user
        )
        return Counts(
            utterances=sum(by_origin.values()),
            seconds=float(sum(seconds for _, _, seconds in totals)),
            labels_by_origin={origin: count for origin, count in by_origin.items() if origin},
            unlabelled=by_origin.get("", 0),
            turns=self.rows("SELECT count(*) FROM turns")[0][0],
            rounds=self.rows("SELECT count(*) FROM rounds")[0][0],
            new_labels=new[0][0],
            to_label=unlabelled[0][0],
            last_label=self.rows("SELECT coalesce(max(id), 0) FROM labels")[0][0],
        )

    # --- for what else is kept in the same database

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Run the block in one transaction, kept whole or not at all. Raises AttuneError if the
        disk is full or the database damaged, and DatabaseBusyError if another program holds it."""
        with self._database.writing() as connection:
            yield connection
            row = astuple(self._service_clock.read())
            connection.execute("INSERT OR REPLACE INTO service_clock VALUES (1, ?, ?, ?, ?)", row)

    def rows(self, query: str, *values: object) -> list[tuple]:  # type: ignore[type-arg]
        """Return the rows that a query finds."""
        return self._database.rows(query, *values)

    def scrub(self) -> None:
        """Let nothing of what was deleted be left in any file of the database. Raises
        DatabaseBusyError if another program reads it."""
        self._database.scrub()
        for log in self.path.parent.glob(f"{self.path.name}-wal.lost-*"):
            log.unlink(missing_ok=True)  # of a database that was lost

    # --- inside

    def _utterance(self, row: tuple) -> Utterance:  # type: ignore[type-arg]
        return Utterance(row[0], row[1], row[2], row[3], self.audio_folder / row[4], bool(row[5]))


def plain_words(text: str) -> str:
    """The words of a text without marks, each between spaces; empty if it has none."""
    plain = unicodedata.normalize("NFKC", text).casefold().replace("'", "").replace("\u2019", "")
    words = "".join(sign if sign.isalnum() else " " for sign in plain).split()
    return f" {' '.join(words)} " if words else ""
