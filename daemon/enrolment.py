"""Takes up recordings and their texts: good rows are kept, each bad one is told in one line."""

from collections.abc import Iterator

from engines.audio import read_audio
from engines.errors import AttuneError
from engines.open_file import OpenFile
from engines.types import SAMPLE_RATE_HZ, Float32

from .events import Event
from .row_stream import Row
from .store import Store, utterance_id

MAX_SECONDS = 29.5
"""Longest recording that is enrolled: what the encoder takes."""

Known = dict[str, Row]
"""By the id of its utterance, the first row of this enrolment that has it."""


def take_up(rows: Iterator[tuple[Row, int]], store: Store) -> Iterator[Event]:
    """Store each row as an enrolled utterance; a recording comes as an open descriptor, which stays the caller's.

    Yields `enrolling`, then for each row `enrolled` or `bad_row`, and `enrolled_all` with the totals, in which a recording that
    came twice counts once. Raises AttuneError where the store cannot be written, or `rows` does.
    """
    yield {"event": "enrolling"}
    known: Known = {}
    bad = new = 0
    seconds = 0.0
    for row, descriptor in rows:
        try:
            with OpenFile.of_descriptor(descriptor, row.name) as recording:
                samples = read_audio(recording, MAX_SECONDS)
            _check(row, samples, known)
        except AttuneError as error:
            bad += 1
            yield {"event": "bad_row", "row": row.number, "problem": str(error)}
            continue
        identifier = utterance_id(samples)
        is_new = identifier not in known and _keep(row, samples, store)
        if identifier not in known:
            known[identifier] = row
            seconds += len(samples) / SAMPLE_RATE_HZ
        new += is_new
        yield {
            "event": "enrolled",
            "row": row.number,
            "utterance": identifier,
            "seconds": len(samples) / SAMPLE_RATE_HZ,
            "new": is_new,
        }
    yield {"event": "enrolled_all", "enrolled": len(known), "bad": bad, "seconds": seconds, "new": new}


def _check(row: Row, samples: Float32, known: Known) -> None:
    """Raises AttuneError where nothing can be learnt from a row: where its text contradicts that of another row."""
    before = known.get(utterance_id(samples))
    if before is not None and _words(before.text) != _words(row.text):
        raise AttuneError(
            f"{row.name} is the recording of line {before.number}, which has another text; give each recording one text"
        )


def _keep(row: Row, samples: Float32, store: Store) -> bool:
    """Store the utterance and its label; whether the text is new."""
    utterance = store.add_utterance(samples, "enrolled")
    # What was enrolled with this text already is not enrolled anew: a correction since then stands.
    query = "SELECT text FROM labels WHERE utterance = ? AND origin = 'enrolled' ORDER BY id DESC LIMIT 1"
    if store.rows(query, utterance.id) == [(_words(row.text),)]:
        return False
    store.add_label(utterance.id, row.text, "enrolled")
    return True


def _words(text: str) -> str:
    """A text as the store keeps it."""
    return " ".join(text.split())
