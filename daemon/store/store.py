"""What was heard, what it meant, what was answered, and what was learnt from it: SQLite beside a
folder of FLAC files.

Audio is written before its row, and a file without a row (the process was killed in between, or the
database was moved aside) becomes an utterance again at the next start. Nothing is deleted that
nobody named. What is kept carries the time of the wall clock for people, and of the service clock
for its age. Knows no model and no conversation.
"""

import hashlib
import json
import logging
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple
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
from .records import Counts, Utterance
from .retention import Stored
from .service_clock import Reading, ServiceClock, date_of

logger = logging.getLogger(__name__)

DATABASE = "attune.db"
MAX_LABEL_CHARACTERS = 1000
HOLDOUT_ONE_IN = 8
_NOTICE_SECONDS = 30 * 86_400.0
"""How long a person is told what happened to the store."""


def utterance_id(samples: Float32) -> str:
    """The name of this audio, from its 16-bit samples: 32 hexadecimal digits, the same for the same
    audio."""
    return hashlib.sha256(_pcm(samples).tobytes()).hexdigest()[:32]


def _pcm(samples: Float32) -> np.ndarray[tuple[int, ...], np.dtype[np.int16]]:
    return np.clip(np.round(samples * 32768.0), -32768, 32767).astype("<i2")


def is_holdout(identifier: str) -> bool:
    """Whether an utterance is kept from training, decided by its id alone, so that it never changes
    sides."""
    return int(identifier[:8], 16) % HOLDOUT_ONE_IN == 0


class Store:
    """Utterances and their labels, under `folder`, and `history`; safe to use from several
    threads."""

    def __init__(self, folder: Path, clocks: Clocks = REAL_TIME) -> None:
        """Open or create. Raises AttuneError where the database is damaged, newer than this
        program, or out of reach."""
        self.audio_folder = folder / "audio"
        self.path = folder / DATABASE
        self.clocks = clocks
        self._audio_lock = threading.Lock()
        """Held while a file and its row come or go together."""
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
        self.history = History(self)
        """Turns, rounds, and which generation was served when."""
        if loss:
            logger.error("%s", loss)
            self.notice(loss)

    def close(self) -> None:
        """Write what still waits to be written, and how far the service clock has come, where that
        can be done within seconds."""
        self.later.close()
        try:
            with self.writing():
                pass
        except AttuneError as error:
            logger.debug("the service clock goes on from where it was last saved: %s", error)
        self._database.close()

    # --- time

    def service_seconds(self) -> float:
        """The service clock, by which ages are told; from a start to the next it only grows."""
        return self._service_clock.now()

    def notice(self, text: str) -> None:
        """Keep what a person must be told about the store."""
        with self.writing() as connection:
            row = (self.clocks.wall(), self.service_seconds(), text)
            connection.execute("INSERT INTO notices (at, service_at, text) VALUES (?, ?, ?)", row)

    def problems(self) -> list[str]:
        """What a person is to be told, for `attune status`."""
        since = self.service_seconds() - _NOTICE_SECONDS
        found = [
            f"{text} ({date_of(at)})"
            for at, text in self.rows(
                "SELECT at, text FROM notices WHERE service_at >= ? ORDER BY id", since
            )
        ]
        if not is_set(now := self.clocks.wall()):
            found.append(
                f"the clock of this machine was never set: it says {date_of(now)}; set it, for"
                " dates are wrong until then"
            )
        if not self.path.exists() or self.path.stat().st_ino != self._file:
            found.append(
                f"the database {self.path} was removed or replaced while Attune ran: what is kept"
                " now goes when it stops; start it again"
            )
        return found + self.later.problems()

    # --- utterances and labels

    def add_utterance(self, samples: Float32, source: str) -> Utterance:
        """Keep `samples` ([N] mono at SAMPLE_RATE_HZ). The same audio is kept once. Raises
        AttuneError where the disk is full."""
        identifier = utterance_id(samples)
        path = self.audio_folder / f"{identifier}.flac"
        with self._database.guarded(), self._audio_lock:
            known = self.utterance(identifier)
            if not path.is_file():
                write_flac(path, samples)
            return known or self.add_row(
                identifier, len(samples) / SAMPLE_RATE_HZ, source, self.clocks.wall()
            )

    def add_row(self, identifier: str, seconds: float, source: str, created_at: float) -> Utterance:
        """Keep the utterance of an audio file that is there already; `created_at` is in seconds
        since the epoch."""
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
            )
            connection.execute(
                "INSERT INTO utterances (id, created_at, seconds, source, audio, holdout,"
                " service_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
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

    def add_label(self, utterance: str, text: str, origin: Origin, confidence: float = 1.0) -> None:
        """Say what `utterance` means. Raises AttuneError for a text that is empty or too long, or
        an unknown utterance."""
        text = " ".join(text.split())
        if not text or len(text) > MAX_LABEL_CHARACTERS:
            raise AttuneError(
                f"a label has 1 to {MAX_LABEL_CHARACTERS} characters, not {len(text)}; give what"
                " was said"
            )
        if self.utterance(utterance) is None:
            raise AttuneError(f"there is no utterance {utterance} in {self.path}")
        with self.writing() as connection:
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

    def replace_label(self, utterance: str, text: str, origin: Origin) -> None:
        """As `add_label`, in place of every label that `utterance` had: what they said is taken
        back."""
        with self.writing() as connection:
            self.add_label(utterance, text, origin)
            # The new one first: the id of the newest label would be given again, and what is not
            # new counts as learnt.
            older = "SELECT id FROM labels WHERE utterance = ? ORDER BY id DESC LIMIT -1 OFFSET 1"
            for number in self.rows(older, utterance):
                connection.execute("DELETE FROM labels WHERE id = ?", number)

    def confirmed_text(self, utterance: str) -> str | None:
        """What a person said last that `utterance` means; None where nobody did."""
        rows = self.rows(
            "SELECT text FROM chosen_labels WHERE utterance = ? AND origin != 'recognised'",
            utterance,
        )
        return str(rows[0][0]) if rows else None

    def given_texts(self, utterances: Sequence[str]) -> list[tuple[str, str, Origin]]:
        """What a person said that each of `utterances` means: its id, a text and where that came
        from, the oldest first."""
        return self.rows(
            "SELECT l.utterance, l.text, l.origin FROM json_each(?) wanted JOIN labels l ON"
            " l.utterance = wanted.value WHERE l.origin != 'recognised' ORDER BY l.utterance, l.id",
            json.dumps(list(utterances)),
        )

    def is_labelled(self, utterance: str) -> bool:
        return bool(self.rows("SELECT 1 FROM labels WHERE utterance = ? LIMIT 1", utterance))

    def text_of(self, utterance: str) -> str:
        """Its label; empty where it has none, or is not there."""
        rows = self.rows("SELECT text FROM chosen_labels WHERE utterance = ?", utterance)
        return str(rows[0][0]) if rows else ""

    def missing_labels(self) -> list[Utterance]:
        """Utterances that nobody and nothing has labelled, the oldest first."""
        rows = self.rows(
            "SELECT id, created_at, seconds, source, audio, holdout FROM utterances"
            " WHERE label_origin IS NULL ORDER BY service_at, rowid"
        )
        return [utterance for utterance in map(self._utterance, rows) if utterance.audio.is_file()]

    def audio_bytes(self) -> int:
        """What all files of audio take on the disk."""
        with self._database.guarded(), os.scandir(self.audio_folder) as files:
            return sum(file.stat().st_size for file in files)

    def stored_audio(self) -> list[Stored]:
        """What each utterance takes on the disk, the oldest first; precious is what a person
        enrolled or corrected."""
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

    def forget(self, audio: Path) -> None:
        """Remove the utterance of an audio file, with its labels; what was answered to it stays."""
        with self._database.guarded(), self._audio_lock:
            # First, or a kill in between would leave a row without audio.
            with self.writing() as connection:
                connection.execute("DELETE FROM utterances WHERE audio = ?", (audio.name,))
            audio.unlink(missing_ok=True)

    # --- totals

    def counts(self, min_confidence: float = 0.0) -> Counts:
        """Totals, within milliseconds; recognised labels below `min_confidence` do not count as
        new."""
        totals = self.rows(
            "SELECT origin, utterances, seconds FROM totals WHERE utterances > 0 ORDER BY origin"
        )
        by_origin = {origin: utterances for origin, utterances, _ in totals}
        new = self.rows(
            "SELECT (SELECT count(*) FROM utterances WHERE label_origin IN ('enrolled',"
            " 'corrected') AND label > ?1) + (SELECT count(*) FROM utterances WHERE label_origin ="
            " 'recognised' AND label > ?1 AND label_confidence >= ?2)",
            self.history.last_learnt_label(),
            min_confidence,
        )
        return Counts(
            utterances=sum(by_origin.values()),
            seconds=float(sum(seconds for _, _, seconds in totals)),
            labels_by_origin={origin: count for origin, count in by_origin.items() if origin},
            unlabelled=by_origin.get("", 0),
            turns=self.rows("SELECT count(*) FROM turns")[0][0],
            rounds=self.rows("SELECT count(*) FROM rounds")[0][0],
            new_labels=new[0][0],
            last_label=self.rows("SELECT coalesce(max(id), 0) FROM labels")[0][0],
        )

    # --- for what else is kept in the same database

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: kept whole or not at all. Raises AttuneError where the disk is full or
        the database damaged, DatabaseBusyError where another program holds it."""
        with self._database.writing() as connection:
            yield connection
            row = astuple(self._service_clock.read())
            connection.execute("INSERT OR REPLACE INTO service_clock VALUES (1, ?, ?, ?, ?)", row)

    def rows(self, query: str, *values: object) -> list[tuple]:  # type: ignore[type-arg]
        """What a query finds."""
        return self._database.rows(query, *values)

    # --- inside

    def _utterance(self, row: tuple) -> Utterance:  # type: ignore[type-arg]
        return Utterance(row[0], row[1], row[2], row[3], self.audio_folder / row[4], bool(row[5]))
