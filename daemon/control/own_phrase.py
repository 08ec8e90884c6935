"""Records a phrase by which its user calls, and learns it."""

import logging
import queue
import threading
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path

from engines.audio.recordings import read_audio
from engines.errors import AttuneError
from engines.open_file import OpenFile
from engines.types import SAMPLE_RATE_HZ, Float32
from engines.wake.own_phrase import OwnPhrase, check_take, learn_phrase, save_phrase

from ..attention import Attention
from ..clients import Client
from ..events.event import Event
from ..events.turns import Alive
from ..events.wake import PhraseCompared, PhraseLearnt, TakeAsked, TakeRefused
from ..listening.takes import TakeRecorder
from ..listening.wake import WakeGate
from ..store.store import Store
from . import row_stream

logger = logging.getLogger(__name__)

OWN_SECONDS, GENERAL_SECONDS = 180.0, 120.0
"""Most speech of the user, and of others, that a phrase is compared with: a minute of it takes six
seconds."""
_MOST_TAKE_SECONDS = 10.0
_PATIENCE_SECONDS = 30.0
"""Time in which the user has to say the phrase."""
_MOST_REFUSED = 5
_ALIVE_SECONDS = 10.0


def record_takes(
    recorder: TakeRecorder, gate: WakeGate | None, attention: Attention, count: int, client: Client
) -> Generator[Event, None, list[Float32]]:
    """Ask the user to say a phrase `count` times, and return the recordings; fewer if `client` has
    left. Raises AttuneError if nothing is said for a while, or what is said is no phrase."""
    taken: list[Float32] = []
    refused = 0
    attention.begin()
    if gate is not None:
        gate.hold_open(True)
    try:
        with recorder.recording() as takes, client.telling(lambda: takes.put(None)):
            while len(taken) < count:
                number = len(taken) + 1
                yield TakeAsked(number=number, of=count)
                try:
                    take = takes.get(timeout=_PATIENCE_SECONDS)
                except queue.Empty:
                    raise AttuneError(
                        f"nothing was heard for {_PATIENCE_SECONDS:.0f} s; `attune doctor` tests"
                        " the microphone"
                    ) from None
                if take is None:
                    break
                try:
                    check_take(take, number)
                except AttuneError as error:
                    refused += 1
                    if refused > _MOST_REFUSED:
                        raise
                    yield TakeRefused(number=number, problem=str(error))
                    continue
                taken.append(take)
    finally:
        if gate is not None:
            gate.hold_open(False)
        attention.end()
    return taken


def read_takes(descriptor: int) -> list[Float32]:
    """Read recordings of a phrase that come as the rows of an enrolment. Raises AttuneError if one
    cannot be read."""
    takes = []
    for row, recording in row_stream.receive(descriptor):
        with OpenFile.of_descriptor(recording, row.name) as file:
            takes.append(read_audio(file, _MOST_TAKE_SECONDS))
    return takes


def learn(
    text: str, takes: Sequence[Float32], store: Store, general: Sequence[Path], path: Path
) -> Generator[Event, None, None]:
    """Learn the phrase `text` from `takes`, and keep it at `path`. It is compared with what the
    user said otherwise, and with the recordings `general`.

    Yields `phrase_compared` on the way, and `phrase_learnt` at the end. Raises AttuneError as
    `learn_phrase` does; then what was at `path` stays.
    """
    others = [
        *store.latest_audio_without(text, OWN_SECONDS),
        *general,
    ]
    happening: queue.SimpleQueue[Event | OwnPhrase | AttuneError] = queue.SimpleQueue()
    heard_seconds = [0.0, 0.0]

    def heard() -> Iterator[Float32]:
        for number, recording in enumerate(others):
            is_general = number >= len(others) - len(general)
            if is_general and heard_seconds[1] > GENERAL_SECONDS:
                return
            try:
                samples = read_audio(recording)
            except AttuneError as error:  # it may have been removed since, or be damaged
                logger.warning("a phrase is not compared with %s: %s", recording.name, error)
                continue
            heard_seconds[is_general] += len(samples) / SAMPLE_RATE_HZ
            yield samples

    def compared(done: int) -> None:
        happening.put(PhraseCompared(recordings=done, of=len(others)))

    def work() -> None:
        try:
            happening.put(learn_phrase(text, takes, heard(), compared))
        except AttuneError as error:
            happening.put(error)
        except Exception as error:  # a defect must not leave the client waiting
            logger.exception("a phrase could not be learnt")
            happening.put(AttuneError(f"the phrase could not be learnt: {error!r}"))

    threading.Thread(target=work, name="phrase", daemon=True).start()
    while not isinstance(event := _next(happening), OwnPhrase):
        if isinstance(event, AttuneError):
            raise event
        yield event
    save_phrase(event, path)
    yield PhraseLearnt(
        text=text,
        takes=len(takes),
        others_seconds=sum(heard_seconds),
        threshold=event.threshold,
    )


def _next(
    happening: "queue.SimpleQueue[Event | OwnPhrase | AttuneError]",
) -> Event | OwnPhrase | AttuneError:
    try:
        return happening.get(timeout=_ALIVE_SECONDS)
    except queue.Empty:
        return Alive()
