"""Enrols recordings with their texts: good rows are stored, and each bad row is reported in one
line."""

from collections.abc import Callable, Iterator

from engines.audio.recordings import read_audio
from engines.errors import AttuneError
from engines.open_file import OpenFile
from engines.types import SAMPLE_RATE_HZ, Float32

from ..events.enrolment import BadRow, Enrolled, EnrolledAll, Enrolling
from ..events.event import Event
from ..store.label_check import TOLD, is_silent, label_fault, same_words
from ..store.records import FIRST_USER, Spoken
from ..store.store import Store, utterance_id
from .row_stream import Row

MAX_SECONDS = 29.5
"""Longest recording that is enrolled, in seconds: the encoder takes no longer one."""

Known = dict[str, Row]
"""Maps the id of an utterance to the first row of this enrolment that has it."""


def take_up(
    rows: Iterator[tuple[Row, int]],
    store: Store,
    replace: bool = False,
    user: int = FIRST_USER,
    check: Callable[[], None] = lambda: None,
) -> Iterator[Event]:
    """Store each row as an utterance that `user` enrolled. A recording comes as an open descriptor,
    which stays the caller's.

    A recording has one text: its first text stays, unless `replace` is set; then the first text of
    this enrolment replaces it. A row whose text cannot be true of its recording is bad. Yields
    `enrolling`, then `enrolled` or `bad_row` for each row, and `enrolled_all` with the totals, in
    which a recording that came twice counts once. `check` is called before each row. Raises
    AttuneError if it does, if the store cannot be written, or if reading `rows` raises it.
    """
    yield Enrolling()
    known: Known = {}
    bad = new = 0
    seconds = 0.0
    for row, descriptor in rows:
        check()  # the user may have changed their mind
        try:
            with OpenFile.of_descriptor(descriptor, row.name) as recording:
                samples = read_audio(recording, MAX_SECONDS)
            _refuse_untrue(row, samples, store, replace, known)
        except AttuneError as error:
            bad += 1
            yield BadRow(row=row.number, problem=str(error))
            continue
        identifier = utterance_id(samples)
        is_new = identifier not in known and _keep(row, samples, store, replace, user)
        if identifier not in known:
            known[identifier] = row
            seconds += len(samples) / SAMPLE_RATE_HZ
        new += is_new
        yield Enrolled(
            row=row.number,
            utterance=identifier,
            seconds=len(samples) / SAMPLE_RATE_HZ,
            new=is_new,
        )
    yield EnrolledAll(enrolled=len(known), bad=bad, seconds=seconds, new=new)


def _refuse_untrue(row: Row, samples: Float32, store: Store, replace: bool, known: Known) -> None:
    """Raise AttuneError if the text of `row` cannot be what was said in `samples`, or contradicts
    a text that the recording has already."""
    fault = "silent" if is_silent(samples) else label_fault(row.text, len(samples) / SAMPLE_RATE_HZ)
    if fault is not None:
        raise AttuneError(
            f"its text cannot be what was said: {TOLD[fault]}; give the words that the"
            " recording has"
        )
    identifier = utterance_id(samples)
    first = known.get(identifier)
    if first is not None:
        if not same_words(first.text, row.text):
            raise AttuneError(
                f"{row.name} is the recording of line {first.number}, which has another text; give"
                " each recording one text"
            )
        return
    before = store.confirmed_text(identifier)
    if before is not None and not replace and not same_words(before, row.text):
        raise AttuneError(
            "its text contradicts the one that this recording was labelled with before, which"
            " stays; give --replace if the new text is the right one"
        )


def _keep(row: Row, samples: Float32, store: Store, replace: bool, user: int) -> bool:
    """Store the utterance and its label. Returns whether the text is new."""
    utterance = store.add_utterance(samples, "enrolled", served=user)
    if store.confirmed_text(utterance.id) == " ".join(row.text.split()):
        store.set_users([Spoken(utterance.id, user, "enrolled", 1.0)])
        return False  # enrolled before, and not corrected since
    (store.replace_label if replace else store.add_label)(utterance.id, row.text, "enrolled")
    store.set_users([Spoken(utterance.id, user, "enrolled", 1.0)])
    return True
