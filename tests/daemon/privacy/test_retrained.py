"""What is learnt after something was forgotten is, bit for bit, what would have been learnt without
it. Real rounds, whose length steps decide, and not the time that they take."""

from contextlib import closing, nullcontext
from pathlib import Path

import pytest

from calibration.corpus.demo_speakers import ATYPICAL_VOICE
from calibration.corpus.judged_requests import ENROLLED
from calibration.corpus.synthesis import Voice, speak
from daemon.attention import Attention
from daemon.privacy.forgetting import Forgetting, Places, withdrawing
from daemon.privacy.receipts import Receipts
from daemon.privacy.scope import Scope
from daemon.serving.moves import Moves
from daemon.store.store import Store
from daemon.training.round_examples import round_examples
from daemon.training.selection import bounds_of
from daemon.users.recognition import VoiceRecognition
from daemon.users.users import Users
from engines.generations.card import Card
from engines.generations.folder import next_number, read_generation, write_generation
from engines.generations.pointers import promote, usable
from engines.jobs.messages import AdaptJob, EngineFiles, Example, RecogniserRecipe
from engines.models.general_speech import read_prompts, retention_set
from tests.support.calibration_child import run

AS_LONG_AS_IT_TAKES = 1e6
VISITOR = Voice("flite", "slt")
FORGOTTEN = "Call Bartholomew about the garden."
TEXTS = [
    *(f"Turn on the {room} light." for room in ENROLLED.rooms),
    *(f"Call {person}, please." for person in ENROLLED.people),
    *(f"Add {thing} to my shopping list." for thing in ENROLLED.things),
]


def general_examples(general_speech: Path) -> list[Example]:
    return [
        Example(id=f"general-{p.name}", audio=p.audio, text=p.text, origin="enrolled")
        for p in retention_set(read_prompts(general_speech))[4:8]
    ]


def enrolled(folder: Path, untrained: Path, texts: list[str]) -> Store:
    store = Store(folder)
    for text in texts:
        utterance = store.add_utterance(speak(text, ATYPICAL_VOICE), "enrolled")
        store.add_label(utterance.id, text, "enrolled")
    root = folder / "generations"
    root.mkdir()
    (root / "0000").symlink_to(untrained / "0000")
    return store


def round_of(
    store: Store, folder: Path, engines: EngineFiles, general: list[Example], projector: bool
) -> dict[str, str]:
    """Run a round on what `store` has; returns the sha256 of what it learnt."""
    examples, _ = round_examples(store, bounds_of(180.0), 0.0)
    root = folder / "generations"
    served, _ = usable(root)
    assert served is not None
    number = next_number(root)
    job_folder = folder / "jobs" / f"{number:04d}"
    job_folder.mkdir(parents=True)
    status, lines = run(
        AdaptJob(
            folder=job_folder,
            generations=root,
            number=number,
            parent=served.number,
            engines=engines,
            features=folder / "features",
            examples=examples,
            general=general,
            system_prompt="Answer briefly.",
            training_seconds=AS_LONG_AS_IT_TAKES,
            trains_projector=projector,
            recogniser=None if projector else RecogniserRecipe(seconds=AS_LONG_AS_IT_TAKES),
            reply_utterances=0,
            threads=2,
        )
    )
    assert status == 0, lines[-1].note
    card = read_generation(root / f"{number:04d}").card
    assert card.learnt_from == tuple(sorted(example.id for example in examples))
    return card.files


@pytest.mark.slow
@pytest.mark.parametrize("projector", [False, True])
def test_it_equals_what_learning_without_it_gives(
    tmp_path: Path,
    untrained_generations: Path,
    general_speech: Path,
    engine_files: EngineFiles,
    projector: bool,
) -> None:
    general = general_examples(general_speech)
    never, once = tmp_path / "never", tmp_path / "once"
    with closing(enrolled(never, untrained_generations, TEXTS)) as store:
        without = round_of(store, never, engine_files, general, projector)
    texts = [*TEXTS[:5], FORGOTTEN, *TEXTS[5:]]
    with closing(enrolled(once, untrained_generations, texts)) as store:
        root = once / "generations"
        everything = [row[0] for row in store.rows("SELECT id FROM utterances")]
        card = Card(
            number=1, parent=0, created_at="", recipe="t", learnt_from=tuple(sorted(everything))
        )
        write_generation(root, 1, card, {})
        promote(root, 1)
        receipt = Forgetting(
            store,
            Places(
                root,
                once / "jobs",
                once / "features",
                once / "own",
                once / "backup",
                once / "users",
            ),
            Receipts(once),
            withdrawing(Moves(root, lambda _: None)),
            nullcontext,
            lambda: None,
        ).forget(Scope(word="Bartholomew"))
        assert receipt is not None
        assert (receipt.utterances, receipt.withdrawn, receipt.serves) == (1, (1,), 0)
        after = round_of(store, once, engine_files, general, projector)
    assert without == after
    assert len(without) >= 1


@pytest.mark.slow
def test_a_hundred_utterances_of_another_leave_the_generation_as_it_is(
    tmp_path: Path,
    untrained_generations: Path,
    general_speech: Path,
    engine_files: EngineFiles,
) -> None:
    general = general_examples(general_speech)
    learnt = []
    for visited in (False, True):
        folder = tmp_path / str(visited)
        with closing(enrolled(folder, untrained_generations, TEXTS)) as store:
            if visited:
                for number in range(100):
                    text = f"{TEXTS[number % len(TEXTS)]} Then wait {number} minutes."
                    said = store.add_utterance(speak(text, VISITOR), "microphone")
                    store.add_label(said.id, text, "recognised", 0.99)
            VoiceRecognition(store, Users(store), Attention()).tell()
            learnt.append(round_of(store, folder, engine_files, general, projector=False))
    assert learnt[0] == learnt[1]
