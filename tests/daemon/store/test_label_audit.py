"""Labels beside each other: what contradicts, and what is learnt by heart."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.store.faulty_labels import FaultyLabels
from daemon.store.label_audit import Label, contradicted, label_faults, shared_texts, told_left_out
from daemon.store.store import Store, is_holdout, utterance_id
from engines.audio.recordings import write_flac
from engines.errors import AttuneError
from engines.jobs.messages import Example
from engines.types import SAMPLE_RATE_HZ
from tests.support.consent import agree
from tests.support.fakes import tone, write_base
from tests.support.running_daemon import Start, folder, start
from tests.support.stored_labels import labelled

__all__ = ["folder", "start"]


def example(number: int, text: str, holdout: bool = False, seconds: float = 2.0) -> Example:
    return Example(
        id=f"u{number}",
        audio=Path("a.flac"),
        text=text,
        origin="enrolled",
        holdout=holdout,
        seconds=seconds,
    )


def test_labels_that_cannot_be_true_are_counted_by_their_reason() -> None:
    texts = ("yes", "?!", "...", "no", "x" * 500)
    faults = label_faults(
        [Label(f"u{number}", text, 2.0) for number, text in enumerate(texts)], {"u3"}
    )
    left_out: dict[str, int] = dict(Counter(faults.values()))
    assert "u0" not in faults
    assert left_out == {"wordless": 2, "contradicted": 1, "too_fast": 1}
    assert told_left_out(left_out).startswith("4 labels were left out (1: another text")
    assert told_left_out({}) == ""


def test_a_text_is_trained_on_or_judged_by() -> None:
    often, seldom = (
        ("Turn on the light.", 2, 20),
        [("Call Susan.", 1, 1), ("call susan", 0, 1), ("Call Susan!", 0, 1)],
    )
    numbers = [("It is 7.", 1, 2), ("It is seven", 0, 2)]
    found = shared_texts([often, *seldom, ("Good night.", 1, 1), ("Good morning.", 0, 9), *numbers])
    assert found.learnt == {"Turn on the light."}
    assert found.judged == {"Call Susan.", "call susan", "Call Susan!", "It is 7.", "It is seven"}


@given(
    st.lists(
        st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 9), st.integers(0, 9)), max_size=40
    )
)
def test_a_shared_text_is_on_one_side(counted: list[tuple[str, int, int]]) -> None:
    found = shared_texts(
        [(text, held_out, held_out + others) for text, held_out, others in counted]
    )
    assert not found.judged & found.learnt
    sides = [{text for text, *counts in counted if counts[side]} for side in (0, 1)]
    assert found.judged | found.learnt == sides[0] & sides[1]


def test_faulty_labels_are_found_a_part_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.store.faulty_labels.AT_ONCE", 3)
    store = Store(tmp_path)
    utterances = [
        store.add_utterance(tone(1.0, 200 + 10 * number), "enrolled").id for number in range(8)
    ]
    for utterance, text in zip(
        utterances, ("one", "?!", "two", "three", "four", "...", "five", "six"), strict=True
    ):
        store.add_label(utterance, text, "enrolled")
    store.add_label(utterances[0], "another", "enrolled")
    faulty = FaultyLabels(store, 0.85)
    counts = [len(faulty.found()) for _ in range(4)]
    assert counts == [2, 3, 3, 3]
    assert faulty.found() == {
        utterances[0]: "contradicted",
        utterances[1]: "wordless",
        utterances[5]: "wordless",
    }
    store.replace_label(utterances[1], "seven", "enrolled")
    store.add_label(utterances[0], "another", "corrected")
    assert set(faulty.found()) == {utterances[5]}
    store.forget(store.audio_folder / f"{utterances[5]}.flac")
    assert faulty.found() == {}
    store.close()


def test_two_texts_of_a_person_contradict_until_a_correction() -> None:
    assert (
        contradicted([("a", "Yes.", "enrolled"), ("a", "yes", "enrolled"), ("b", "no", "enrolled")])
        == set()
    )
    assert contradicted([("a", "yes", "enrolled"), ("a", "no", "enrolled")]) == {"a"}
    assert (
        contradicted(
            [("a", "yes", "enrolled"), ("a", "no", "enrolled"), ("a", "maybe", "corrected")]
        )
        == set()
    )
    assert contradicted([("a", "maybe", "corrected"), ("a", "no", "enrolled")]) == {"a"}
    assert contradicted([("a", "yes", "recognised"), ("a", "no", "enrolled")]) == set()


# --- a whole daemon


def enroll(
    daemon: Any, folder: Path, rows: list[tuple[Path, str]], replace: bool = False
) -> list[Any]:
    lines = [json.dumps({"audio": str(audio), "text": text}) + "\n" for audio, text in rows]
    (folder / "manifest.jsonl").write_text("".join(lines), encoding="utf-8")
    return list(daemon.enroll(folder / "manifest.jsonl", replace))


def test_a_recording_keeps_its_first_text(start: Start, folder: Path) -> None:
    daemon = start()
    audio = folder / "a.flac"
    write_flac(audio, tone(1.0))
    for _ in range(2):
        first, second, total = enroll(
            daemon, folder, [(audio, "turn it on"), (audio, "turn it off")]
        )
        assert (first["event"], second["event"]) == ("enrolled", "bad_row")
        assert "another text" in second["problem"]
        assert (total["enrolled"], total["bad"]) == (1, 1)
        assert daemon.app.parts.store.counts().utterances == 1
        assert daemon.app.parts.store.counts().new_labels == 1
    [other, _] = enroll(daemon, folder, [(audio, "turn it off")])
    assert "--replace" in other["problem"]
    [same, _] = enroll(daemon, folder, [(audio, "Turn it on!")])
    assert same["event"] == "enrolled"
    store = daemon.app.parts.store
    assert labelled(store)[0].text == "Turn it on!"
    replaced = enroll(daemon, folder, [(audio, "turn it off"), (audio, "turn it up")], replace=True)
    assert [event["event"] for event in replaced] == ["enrolled", "bad_row", "enrolled_all"]
    assert labelled(store)[0].text == "turn it off"
    assert not daemon.app.parts.inputs.label_faults()


def test_rows_that_cannot_be_true_are_bad_and_the_others_are_kept(
    start: Start, folder: Path
) -> None:
    daemon = start()
    rows = []
    for index, text in enumerate(["?!", "<|im_end|>", "你好世界", "x" * 1000, "hello"]):
        write_flac(folder / f"{index}.flac", tone(1.0, 200 + 20 * index))
        rows.append((folder / f"{index}.flac", text))
    write_flac(folder / "silent.flac", np.zeros(SAMPLE_RATE_HZ, np.float32))
    events = enroll(daemon, folder, [*rows, (folder / "silent.flac", "hello")])
    assert [event["event"] for event in events] == [
        *["bad_row"] * 4,
        "enrolled",
        "bad_row",
        "enrolled_all",
    ]
    assert "silent" in events[5]["problem"]
    assert daemon.app.parts.store.counts().utterances == 1


def test_a_correction_that_cannot_be_true_is_refused(start: Start, folder: Path) -> None:
    daemon = start()
    write_flac(folder / "a.flac", tone(1.0))
    daemon.do("ask", audio=folder / "a.flac")
    for text in ("<|im_end|>", "?!", "word " * 100):
        with pytest.raises(AttuneError, match="cannot have this text"):
            daemon.do("correct", text=text)
    assert daemon.do("correct", text="turn it on")[0]["event"] == "corrected"


def test_labels_of_an_older_version_are_left_out_and_told(start: Start, folder: Path) -> None:
    """The store may hold what is refused today."""
    write_base(folder / "state" / "generations")
    store = Store(folder / "state")
    sounds = [
        sound
        for sound in (tone(1.0, 200 + 7 * index) for index in range(30))
        if not is_holdout(utterance_id(sound))
    ]
    for sound, texts in zip(sounds, (["?!"], ["x" * 900], ["yes", "no"], ["hello"]), strict=False):
        for text in texts:
            store.add_label(store.add_utterance(sound, "enrolled").id, text, "enrolled")
    store.close()
    daemon = start()
    left_out = daemon.status()["labels_left_out"]
    assert left_out["count"] == 3
    assert len(left_out["reasons"]) == len(left_out["utterances"]) == 3
    job = daemon.app.parts.inputs.planned_job()
    assert [one.text for one in job.examples] == ["hello"]
    assert job.labels_left_out == {"wordless": 1, "too_fast": 1, "contradicted": 1}


def test_a_round_without_a_label_that_can_be_true_says_so(start: Start, folder: Path) -> None:
    write_base(folder / "state" / "generations")
    store = Store(folder / "state")
    store.add_label(store.add_utterance(tone(1.0), "enrolled").id, "?!", "enrolled")
    store.close()
    agree(folder / "state")
    last = start().do("adapt")[-1]
    assert last["outcome"] == "failed"
    assert "1 label was left out (1: it has no word" in str(last["last_reason"])
