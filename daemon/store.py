"""What was heard, what it meant, what was answered, and what was learnt from it: SQLite beside a folder of FLAC files.

Audio is written before its row, and a file without a row (the process was killed in between, or the database was moved aside)
becomes an utterance again at the next start. Nothing is deleted that nobody named. Knows no model and no conversation.
"""

import hashlib
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import astuple, replace
from pathlib import Path

import numpy as np

from engines.audio import read_audio, write_flac
from engines.errors import AttuneError
from engines.job import Example, Origin
from engines.types import SAMPLE_RATE_HZ, Float32

from .records import Counts, Move, Round, Turn, Utterance
from .regression import Use
from .retention import Stored
from .schema import migrate

logger = logging.getLogger(__name__)

DATABASE = "attune.db"
MAX_LABEL_CHARACTERS = 1000
HOLDOUT_ONE_IN = 8
_ORPHAN_SECONDS = 60.0
"""A file without a row, younger than this, may belong to a row that is just being written."""


def utterance_id(samples: Float32) -> str:
    """The name of this audio, from its 16-bit samples: 32 hexadecimal digits, the same for the same audio."""
    return hashlib.sha256(_pcm(samples).tobytes()).hexdigest()[:32]


def _pcm(samples: Float32) -> np.ndarray[tuple[int, ...], np.dtype[np.int16]]:
    return np.clip(np.round(samples * 32768.0), -32768, 32767).astype("<i2")


def is_holdout(identifier: str) -> bool:
    """Whether an utterance is kept from training, decided by its id alone, so that it never changes sides."""
    return int(identifier[:8], 16) % HOLDOUT_ONE_IN == 0


_TURNS = "SELECT utterance, route, heard, reply, first_token_ms, reply_ms, generation, created_at, sure, id FROM turns "


class Store:
    """All of it, under `folder`; safe to use from several threads."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        """Open or create. Raises AttuneError where the database is damaged, newer than this program, or out of reach."""
        self.audio_folder = folder / "audio"
        self.path = folder / DATABASE
        self._clock = clock
        self._lock = threading.RLock()
        self._counted: dict[float, tuple[tuple[int, int], Counts]] = {}
        """By the least confidence that was asked for: what the database was like, and what was counted in it."""
        with self._guarded():
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.audio_folder.mkdir(exist_ok=True, mode=0o700)
            self._connection = migrate(self.path)
        self._adopt_orphans()

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    # --- utterances and labels

    def add_utterance(self, samples: Float32, source: str) -> Utterance:
        """Keep `samples` ([N] mono at SAMPLE_RATE_HZ). The same audio is kept once. Raises AttuneError where the disk is full."""
        identifier = utterance_id(samples)
        path = self.audio_folder / f"{identifier}.flac"
        with self._guarded(), self._lock:
            known = self.utterance(identifier)
            if known and known.audio.is_file():
                return known
            write_flac(path, samples)
            return known or self._add_row(identifier, len(samples) / SAMPLE_RATE_HZ, source, self._clock())

    def _add_row(self, identifier: str, seconds: float, source: str, created_at: float) -> Utterance:
        name = f"{identifier}.flac"
        with self.writing() as connection:
            row = (identifier, created_at, seconds, source, name, is_holdout(identifier))
            connection.execute("INSERT INTO utterances VALUES (?, ?, ?, ?, ?, ?)", row)
        return Utterance(identifier, created_at, seconds, source, self.audio_folder / name, is_holdout(identifier))

    def utterance(self, identifier: str) -> Utterance | None:
        rows = self.rows("SELECT id, created_at, seconds, source, audio, holdout FROM utterances WHERE id = ?", identifier)
        return self._utterance(rows[0]) if rows else None

    def add_label(self, utterance: str, text: str, origin: Origin, confidence: float = 1.0) -> None:
        """Say what `utterance` means. Raises AttuneError for a text that is empty or too long, or an unknown utterance."""
        text = " ".join(text.split())
        if not text or len(text) > MAX_LABEL_CHARACTERS:
            raise AttuneError(f"a label has 1 to {MAX_LABEL_CHARACTERS} characters, not {len(text)}; give what was said")
        if self.utterance(utterance) is None:
            raise AttuneError(f"there is no utterance {utterance} in {self.path}")
        with self.writing() as connection:
            latest = self.rows("SELECT text, origin FROM labels WHERE utterance = ? ORDER BY id DESC LIMIT 1", utterance)
            if latest != [(text, origin)]:
                connection.execute(
                    "INSERT INTO labels (utterance, text, origin, confidence, created_at) VALUES (?, ?, ?, ?, ?)",
                    (utterance, text, origin, confidence, self._clock()),
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
            " WHERE id NOT IN (SELECT utterance FROM labels) ORDER BY created_at, id"
        )
        return [utterance for utterance in map(self._utterance, rows) if utterance.audio.is_file()]

    def examples(self, min_confidence: float = 0.0) -> list[Example]:
        """What can be learnt from, by id. Recognised labels below `min_confidence` are left out, and so is lost audio."""
        rows = self.rows(
            "SELECT u.id, u.audio, c.text, c.origin, c.confidence, u.holdout, u.seconds FROM utterances u JOIN chosen_labels c"
            " ON c.utterance = u.id WHERE c.origin != 'recognised' OR c.confidence >= ? ORDER BY u.id",
            min_confidence,
        )
        examples = [
            Example(
                id=identifier,
                audio=self.audio_folder / name,
                text=text,
                origin=origin,
                seconds=seconds,
                confidence=confidence,
                holdout=bool(holdout),
            )
            for identifier, name, text, origin, confidence, holdout, seconds in rows
        ]
        present = [example for example in examples if example.audio.is_file()]
        if len(present) < len(examples):
            logger.warning("the audio of %d utterances is gone from %s", len(examples) - len(present), self.audio_folder)
        return present

    def stored_audio(self) -> list[Stored]:
        """What each utterance takes on the disk; precious is what a person enrolled or corrected."""
        rows = self.rows(
            "SELECT u.audio, u.created_at, coalesce(c.origin, '') FROM utterances u"
            " LEFT JOIN chosen_labels c ON c.utterance = u.id"
        )
        paths = [(self.audio_folder / name, created_at, origin in ("enrolled", "corrected")) for name, created_at, origin in rows]
        return [Stored(path, path.stat().st_size, at, precious) for path, at, precious in paths if path.is_file()]

    def forget(self, audio: Path) -> None:
        """Remove the utterance of an audio file, with its labels; what was answered to it stays."""
        with self._guarded(), self._lock:
            with self._connection:  # first, or a kill in between would leave a row without audio
                self._connection.execute("DELETE FROM utterances WHERE audio = ?", (audio.name,))
            audio.unlink(missing_ok=True)

    # --- turns and rounds

    def add_turn(self, turn: Turn) -> Turn:
        """Keep `turn`; returns it with its id."""
        with self.writing() as connection:
            cursor = connection.execute(
                "INSERT INTO turns (utterance, route, heard, reply, first_token_ms, reply_ms, generation, created_at, sure)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                astuple(turn)[:-1],
            )
        return replace(turn, id=cursor.lastrowid or 0)

    def forget_turns(self, before: float) -> int:
        """Remove turns that were older than `before`, in seconds since the epoch; returns how many."""
        with self.writing() as connection:
            return connection.execute("DELETE FROM turns WHERE created_at < ?", (before,)).rowcount

    def turn(self, number: int) -> Turn | None:
        return next(iter(self.turns("WHERE id = ?", number)), None)

    def last_turns(self, count: int) -> list[Turn]:
        """The latest `count` turns, the newest first."""
        return self.turns("ORDER BY id DESC LIMIT ?", count)

    def last_spoken_turn(self) -> Turn | None:
        """The latest turn whose audio was kept: what a correction means by default."""
        return next(iter(self.turns("WHERE utterance IS NOT NULL ORDER BY id DESC LIMIT 1")), None)

    def add_round(self, finished: Round) -> None:
        """Keep how a round ended."""
        with self.writing() as connection:
            connection.execute(
                "INSERT INTO rounds (started_at, ended_at, generation, outcome, reason, labels) VALUES (?, ?, ?, ?, ?, ?)",
                astuple(finished),
            )

    def last_round(self) -> Round | None:
        rows = self.rows("SELECT started_at, ended_at, generation, outcome, reason, labels FROM rounds ORDER BY id DESC LIMIT 1")
        return Round(*rows[0]) if rows else None

    def add_move(self, generation: int, reason: str) -> None:
        """Keep that `generation` is served from now on, and why."""
        with self.writing() as connection:
            connection.execute("INSERT INTO moves (at, generation, reason) VALUES (?, ?, ?)", (self._clock(), generation, reason))

    def last_moves(self, count: int) -> list[Move]:
        """The latest `count` moves, the newest first."""
        return [Move(*row) for row in self.rows("SELECT at, generation, reason FROM moves ORDER BY id DESC LIMIT ?", count)]

    def use(self, generation: int) -> tuple[Use, Use]:
        """How often what was spoken had to be corrected: heard by `generation`, and by anything else."""
        rows = self.rows(
            "SELECT generation IS ?, count(*), coalesce(sum(EXISTS (SELECT 1 FROM labels l WHERE l.utterance = t.utterance"
            " AND l.origin = 'corrected' AND lower(l.text) != lower(t.heard))), 0)"
            " FROM turns t WHERE utterance IS NOT NULL GROUP BY 1",
            generation,
        )
        found = {bool(here): Use(turns, corrected) for here, turns, corrected in rows}
        return found.get(True, Use(0, 0)), found.get(False, Use(0, 0))

    def last_learnt_label(self) -> int:
        """The highest number of a label that a round has learnt; 0 where none has.

        A round that failed or was cancelled learnt nothing, so what it was given is still new.
        """
        rows = self.rows("SELECT coalesce(max(labels), 0) FROM rounds WHERE outcome IN ('promoted', 'refused', 'shadowed')")
        return int(rows[0][0])

    def counts(self, min_confidence: float = 0.0) -> Counts:
        """Totals; recognised labels below `min_confidence` do not count as new. Counted anew only where something was written."""
        with self._lock:
            version = (self._connection.total_changes, self.rows("PRAGMA data_version")[0][0])
            known = self._counted.get(min_confidence)
            if known is None or known[0] != version:
                self._counted[min_confidence] = known = (version, self._count(min_confidence))
            return known[1]

    def _count(self, min_confidence: float) -> Counts:
        utterances, seconds = self.rows("SELECT count(*), coalesce(sum(seconds), 0.0) FROM utterances")[0]
        # As the view `chosen_labels` has it, at a tenth of its time: SQLite takes `origin` from the row that has the max().
        by_origin = dict(
            self.rows(
                "SELECT origin, count(*) FROM"
                " (SELECT origin, max(((origin != 'recognised') << 62) | id) FROM labels GROUP BY utterance)"
                " GROUP BY origin ORDER BY origin"
            )
        )
        return Counts(
            utterances=utterances,
            seconds=seconds,
            labels_by_origin=by_origin,
            unlabelled=utterances - sum(by_origin.values()),
            turns=self.rows("SELECT count(*) FROM turns")[0][0],
            rounds=self.rows("SELECT count(*) FROM rounds")[0][0],
            new_labels=self.rows(
                "SELECT count(*) FROM (SELECT 1 FROM labels WHERE id > ? AND (origin != 'recognised' OR confidence >= ?)"
                " GROUP BY utterance)",
                self.last_learnt_label(),
                min_confidence,
            )[0][0],
            last_label=self.rows("SELECT coalesce(max(id), 0) FROM labels")[0][0],
        )

    # --- for what else is kept in the same database

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: kept whole or not at all. Raises AttuneError where the disk is full or the database damaged."""
        with self._guarded(), self._lock, self._connection:
            yield self._connection

    def turns(self, condition: str, *values: object) -> list[Turn]:
        """The turns for which `condition`, the rest of a query, holds."""
        rows = self.rows(_TURNS + condition, *values)
        return [Turn(*(*row[:-2], None if row[-2] is None else bool(row[-2]), row[-1])) for row in rows]

    def rows(self, query: str, *values: object) -> list[tuple]:  # type: ignore[type-arg]
        """What a query finds."""
        with self._guarded(), self._lock:
            return self._connection.execute(query, values).fetchall()

    # --- inside

    def _utterance(self, row: tuple) -> Utterance:  # type: ignore[type-arg]
        return Utterance(row[0], row[1], row[2], row[3], self.audio_folder / row[4], bool(row[5]))

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Turns what the disk and the database can do to us into one line that says what to do."""
        try:
            yield
        except sqlite3.OperationalError as error:
            raise AttuneError(
                f"the database {self.path} cannot be used: {error}; free or repair the disk that holds it"
            ) from error
        except sqlite3.DatabaseError as error:
            if type(error) is not sqlite3.DatabaseError:
                raise  # its other subclasses are defects of ours
            raise AttuneError(
                f"the database {self.path} is damaged ({error}); move it aside and start again: the audio beside it is taken up"
            ) from error
        except OSError as error:
            raise AttuneError(
                f"{error.filename or self.path} cannot be written: {error.strerror}; free or repair its disk"
            ) from error

    def _adopt_orphans(self) -> None:
        """Take up audio files that no row names, so that a kill between file and row, or a lost database, loses no audio."""
        known = {row[0] for row in self.rows("SELECT audio FROM utterances")}
        for path in sorted(self.audio_folder.iterdir()):
            written_at = path.stat().st_mtime
            if time.time() - written_at < _ORPHAN_SECONDS:
                continue
            if path.name.startswith("."):  # what `write_flac` was writing when the process was killed
                path.unlink()
            elif path.suffix == ".flac" and path.name not in known:
                self._adopt(path, written_at)

    def _adopt(self, path: Path, written_at: float) -> None:
        try:
            samples = read_audio(path)
        except AttuneError as error:
            logger.warning("an audio file that no utterance names is left where it is: %s", error)
            return
        if utterance_id(samples) != path.stem:
            logger.warning("%s is no utterance of this store and is left where it is", path)
            return
        self._add_row(path.stem, len(samples) / SAMPLE_RATE_HZ, "recovered", written_at)
        logger.info("took up the utterance %s", path.stem)
