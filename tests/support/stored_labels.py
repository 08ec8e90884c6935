"""What a store holds that could be learnt from, all of it: a round takes a bounded part
(`daemon/training/round_examples.py`)."""

from daemon.store.store import Store
from engines.jobs.messages import Example


def said_by_first_user(store: Store) -> None:
    """As if a person had said so of every utterance."""
    with store.writing() as connection:
        connection.execute("UPDATE utterances SET user = 1, user_by = 'hand', user_confidence = 1")


def labelled(store: Store, min_confidence: float = 0.0) -> list[Example]:
    """By id. Recognised labels below `min_confidence` are left out, and so is lost audio."""
    rows = store.rows(
        "SELECT u.id, u.audio, c.text, c.origin, c.confidence, u.holdout, u.seconds FROM utterances"
        " u JOIN chosen_labels c ON c.utterance = u.id WHERE c.origin != 'recognised' OR"
        " c.confidence >= ? ORDER BY u.id",
        min_confidence,
    )
    examples = [
        Example(
            id=identifier,
            audio=store.audio_folder / name,
            text=text,
            origin=origin,
            seconds=seconds,
            confidence=confidence,
            holdout=bool(holdout),
        )
        for identifier, name, text, origin, confidence, holdout, seconds in rows
    ]
    return [example for example in examples if example.audio.is_file()]
