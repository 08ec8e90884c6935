"""Rounds of a whole daemon on tiny engines: started, followed, promoted, cancelled, and what damage
leaves of them."""

import re
import threading
import time
from pathlib import Path

import pytest

from daemon.clocks import Clocks
from daemon.config.settings import Settings
from daemon.control.server import Message
from daemon.serving.models import ServingModels
from engines.audio.recordings import write_flac
from engines.errors import AttuneError
from engines.jobs.footprints import write_footprints
from engines.whisper.transcript_confidence import TranscriptConfidence
from tests.daemon.training.test_memory_plan import FOOTPRINTS
from tests.support.fake_child import eventually
from tests.support.fakes import PROVEN, fake_models, tone, write_base
from tests.support.running_daemon import Start, enroll, folder, start
from tests.support.stored_labels import said_by_first_user

__all__ = ["folder", "start"]


def test_a_round_is_followed_promoted_and_served_at_once(start: Start, folder: Path) -> None:
    write_base(folder / "state" / "generations")
    daemon = start()
    assert daemon.status()["generation"] == 0
    assert daemon.status()["route"] == "cascade"
    enroll(daemon, folder)
    events = daemon.do("adapt")
    assert events[-1]["outcome"] == "promoted", events[-1]
    assert {"training", "judging"} <= {event["state"] for event in events}
    status = daemon.status()
    assert (status["generation"], status["route"]) == (1, "aligned")
    assert status["counts"]["new_labels"] == 0
    assert daemon.do("ask", audio=folder / "0.flac")[-1]["generation"] == 1
    rolled = daemon.do("generations", action="promote", number=0)[0]
    assert (rolled["generation"], rolled["route"]) == (0, "cascade"), (
        "the round judged it, too: it mishears every second word"
    )
    assert daemon.do("ask", audio=folder / "0.flac", route="aligned")[-1]["generation"] == 0
    assert daemon.do("generations", action="rollback")[0]["generation"] == 1
    with pytest.raises(AttuneError, match="0007"):
        daemon.do("generations", action="promote", number=7)


@pytest.mark.parametrize("enabled", [True, False])
def test_a_round_starts_by_itself_only_where_it_may(
    start: Start, folder: Path, enabled: bool
) -> None:
    write_base(folder / "state" / "generations")
    eager = {
        "idle__quiet_seconds": 0,
        "idle__min_minutes_between_rounds": 0,
        "idle__min_new_utterances": 20,
    }
    daemon = start(idle__enabled=enabled, **eager)
    with daemon.app.parts.events.follow() as events:
        enroll(daemon, folder)
        if enabled:
            while events.get(timeout=120).message().get("outcome") != "promoted":
                pass
        else:
            assert eventually(lambda: "paused by the user" in str(daemon.status()["adaptation"]))
    assert daemon.status()["generation"] == (1 if enabled else 0)
    assert enabled or daemon.do("adapt")[-1]["outcome"] == "promoted"


def test_there_is_no_round_without_anything_to_learn_from(start: Start, folder: Path) -> None:
    write_base(folder / "state" / "generations")
    daemon = start()
    last = daemon.do("adapt")[-1]
    assert last["outcome"] == "failed"
    assert "nothing is labelled yet" in str(last["last_reason"])
    assert daemon.do("ask", text="hello")[-1]["reply"] == "0 hello"


def test_what_was_said_is_labelled_before_a_round(start: Start, folder: Path) -> None:
    write_base(folder / "state" / "generations", PROVEN)
    daemon = start()
    for index in range(12):
        # The short ones are recognised with too little confidence.
        seconds = 0.5 if index < 4 else 1.0
        write_flac(folder / "a.flac", tone(seconds, 200 + 20 * index))
        daemon.do("ask", audio=folder / "a.flac")
    assert daemon.status()["counts"]["unlabelled"] == 12
    said_by_first_user(daemon.app.parts.store)
    assert daemon.do("adapt")[-1]["outcome"] == "promoted"
    counts = daemon.status()["counts"]
    assert (counts["labels_by_origin"], counts["unlabelled"]) == ({"recognised": 12}, 0)


@pytest.mark.parametrize(
    "confidence",
    [
        None,
        PROVEN.model_copy(update={"precision": None}),
        PROVEN.model_copy(update={"precision": 0.89}),
    ],
)
def test_nothing_is_labelled_by_a_recogniser_that_has_not_proven_right(
    start: Start, folder: Path, confidence: TranscriptConfidence | None
) -> None:
    write_base(folder / "state" / "generations", confidence)
    daemon = start()
    enroll(daemon, folder)
    write_flac(folder / "a.flac", tone(1.0, 900))
    daemon.do("ask", audio=folder / "a.flac")
    assert daemon.do("adapt")[-1]["outcome"] == "promoted"
    counts = daemon.status()["counts"]
    assert "recognised" not in counts["labels_by_origin"]
    assert counts["unlabelled"] == 1


def test_a_round_waits_for_a_few_labels_only(
    start: Start, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a database was lost everything lacks one."""
    monkeypatch.setattr("daemon.training.round_inputs.LABELLED_FIRST", 5)
    write_base(folder / "state" / "generations", PROVEN)
    daemon = start()
    enroll(daemon, folder)
    for index in range(12):
        write_flac(folder / "a.flac", tone(1.0, 300 + 20 * index))
        daemon.do("ask", audio=folder / "a.flac")
    said_by_first_user(daemon.app.parts.store)
    assert daemon.do("adapt")[-1]["outcome"] == "promoted"
    counts = daemon.status()["counts"]
    assert (counts["labels_by_origin"]["recognised"], counts["unlabelled"]) == (5, 7)


def test_a_child_that_dies_is_one_line_and_everything_goes_on(start: Start, folder: Path) -> None:
    write_base(folder / "state" / "generations")
    daemon = start(mode="dies")
    enroll(daemon, folder)
    last = daemon.do("adapt")[-1]
    assert last["outcome"] == "failed"
    assert "SIGKILL" in str(last["last_reason"])
    assert daemon.status()["generation"] == 0
    assert daemon.status()["counts"]["new_labels"] == 20
    assert daemon.do("ask", text="hello")[-1]["reply"] == "0 hello"


def test_a_round_that_its_labels_refuse_is_over(start: Start, folder: Path) -> None:
    write_base(folder / "state" / "generations")
    daemon = start(mode="refuses")
    enroll(daemon, folder)
    last = daemon.do("adapt")[-1]
    assert (last["outcome"], last["last_reason"]) == ("refused", "refused: no label fits")
    assert last["consecutive_failures"] == 0
    assert daemon.app.parts.store.counts().new_labels == 0, (
        "nobody learns from the same labels again"
    )
    assert not list((folder / "state" / "jobs").iterdir())
    assert daemon.do("why")[0]["round"]["reason"] == "refused: no label fits"


def test_a_round_can_be_cancelled(start: Start, folder: Path) -> None:
    write_base(folder / "state" / "generations")
    daemon = start(mode="hangs")
    enroll(daemon, folder)
    outcome: list[Message] = []
    follower = threading.Thread(target=lambda: outcome.extend(daemon.do("adapt")))
    with daemon.app.parts.events.follow() as events:
        follower.start()
        while events.get(timeout=120).message().get("stage") != "train":
            pass
    daemon.do("adapt", action="cancel")
    follower.join()
    assert outcome[-1]["outcome"] == "cancelled"


def test_a_damaged_generation_is_passed_over_and_told(start: Start, folder: Path) -> None:
    write_base(folder / "state" / "generations")
    daemon = start()
    enroll(daemon, folder)
    daemon.do("adapt")
    daemon.app.__exit__()
    projector = folder / "state" / "generations" / "0001" / "projector.onnx"
    projector.write_bytes(b"not what was written")
    again = start()
    status = again.status()
    assert (status["generation"], status["route"]) == (0, "cascade")
    assert "0001 is damaged" in str(status["problems"])
    assert projector.is_file()
    assert again.do("ask", text="hello")[-1]["reply"] == "0 hello"


def test_a_generation_for_other_models_leaves_the_cascade(start: Start, folder: Path) -> None:
    write_base(folder / "state" / "generations")

    def made_for_others(settings: Settings) -> ServingModels:
        def aligned(_generation: object, _unsure_takes_cascade: bool) -> None:
            raise AttuneError("generation 0000 was made for another language model")

        voice = fake_models(settings)
        return ServingModels(**{**vars(voice), "aligned": aligned})

    daemon = start(open_models=made_for_others, conversation__route="aligned")
    status = daemon.status()
    assert (status["route"], status["generation"], status["routes"]) == (
        "cascade",
        None,
        ["cascade"],
    )
    assert "made for another" in str(status["problems"])


def write_tight_footprints(folder: Path) -> None:
    """By which no round fits beside the models, and any without them."""
    tight = {
        name: one.model_copy(
            update={"beside_bytes": 2.0**45, "alone_bytes": 2.0**20, "bytes_per_position": 0.0}
        )
        for name, one in FOOTPRINTS.stages.items()
    }
    write_footprints(
        folder / "cache" / "footprints.json", FOOTPRINTS.model_copy(update={"stages": tight})
    )


def test_a_round_that_would_need_the_models_memory_says_so(start: Start, folder: Path) -> None:
    write_base(folder / "state" / "generations")
    write_tight_footprints(folder)
    daemon = start(budget__bytes=2**44)
    enroll(daemon, folder)
    refused = daemon.do("adapt")[-1]
    assert refused["outcome"] == "failed"
    assert "budget.unload = true" in str(refused["last_reason"])
    plan = daemon.do("adapt", action="plan")[0]
    # What is in use is read anew for each of the two: a MiB more or less is not another reason.
    assert re.sub(r"\d+", "N", str(plan["refusal"])) == re.sub(
        r"\d+", "N", str(refused["last_reason"])
    )
    assert plan["parts"] == 1


def test_a_round_that_unloads_serves_what_it_promoted(start: Start, folder: Path) -> None:
    write_base(folder / "state" / "generations")
    write_tight_footprints(folder)
    opened = []

    def open_models(settings: Settings) -> ServingModels:
        opened.append(threading.current_thread().name)
        return fake_models(settings)

    quick = Clocks(time.time, lambda: 30 * time.monotonic())  # a minute of quiet is two seconds
    daemon = start(open_models=open_models, clocks=quick, budget__bytes=2**44, budget__unload=True)
    enroll(daemon, folder)
    answers: list[Message] = []
    with daemon.app.parts.events.follow() as events:
        asker = threading.Thread(target=lambda: answers.extend(daemon.do("adapt")))
        asker.start()
        while events.get(timeout=120).message().get("state") != "training":
            pass
        assert str(daemon.do("ask", text="hello")[-1]["reply"]).endswith("hello")
        assert daemon.do("ask", audio=folder / "0.flac", route="aligned")[-1]["route"] == "aligned"
        asker.join(120)
    assert answers[-1]["outcome"] == "promoted", answers[-1]
    assert len(opened) > 1
    status = daemon.status()
    assert not status["unloaded"]
    assert (status["generation"], status["routes"]) == (1, ["aligned", "cascade"])
