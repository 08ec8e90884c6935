"""Labels are compared with their recordings, by the sound."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from calibration.corpus.synthesis import Voice, speak
from calibration.jobs.adapt import without_doubted
from calibration.round.compare_labels import (
    Pronounced,
    chance_of,
    doubt_labels,
    is_doubted,
    refuse_chance,
)
from calibration.round.folder import RoundFolder
from calibration.training.features import Features
from daemon.cli.common import settings
from engines.audio.recordings import write_flac
from engines.errors import RoundRefusedError
from engines.jobs.messages import AdaptJob, EngineFiles, Example
from engines.models.general_speech import read_prompts, retention_set

HEARD = np.log(np.eye(8, dtype=np.float32)[[0, 1, 0, 2, 0, 3, 0]] * 0.9 + 0.0125)
"""The phonemes 1, 2 and 3, one after the other."""


def phonemes(*numbers: int) -> "np.ndarray[tuple[int], np.dtype[np.uint8]]":
    return np.array(numbers, np.uint8)


@pytest.mark.parametrize(
    ("label", "doubted"),
    [((1, 2, 3), False), ((1, 2, 4), False), ((4, 5, 6), True), ((3, 2, 1), True), ((), True)],
)
def test_a_label_is_doubted_where_another_fits_far_better(
    label: tuple[int, ...], doubted: bool
) -> None:
    one = Pronounced("u", HEARD, phonemes(*label))
    assert is_doubted(one, [phonemes(1, 2, 3), phonemes(5, 6, 7), phonemes()]) == doubted


def test_silence_fits_no_label() -> None:
    silence = np.log(np.eye(8, dtype=np.float32)[[0] * 7] * 0.9 + 0.0125)
    assert is_doubted(Pronounced("u", silence, phonemes(1, 2, 3)), [])


def test_as_many_as_fit_by_chance_refuse_all() -> None:
    refuse_chance(60, 0)
    refuse_chance(60, 30)
    refuse_chance(9, 9)  # too few to tell
    with pytest.raises(RoundRefusedError, match="57 of 60 labels do not fit"):
        refuse_chance(60, 57)
    assert chance_of(0, 10) == pytest.approx(1.0)
    assert chance_of(10, 10) == pytest.approx(0.1**10)


ROOMS = ("kitchen", "bedroom", "garage", "office")
ASKED = (
    "Turn on the light in the {}.",
    "Close the curtains in the {}.",
    "How warm is it in the {}?",
)
TEXTS = [text.format(room) for text in ASKED for room in ROOMS]
FRONTED = Voice("espeak-ng", "en-us+m5", 125, 42, ((r"k", "t"), (r"g", "d"), (r"S", "s")))


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("recordings")
    for index, text in enumerate(TEXTS):
        write_flac(folder / f"{index}.flac", speak(text, FRONTED))
    return [folder / f"{index}.flac" for index in range(len(TEXTS))]


def test_labels_of_other_recordings_are_doubted_and_an_atypical_speakers_own_are_not(
    tmp_path: Path,
    recordings: list[Path],
    general_speech: Path,
    encoder_path: Path,
    whisper_folder: Path,
    llm_path: Path,
) -> None:
    (tmp_path / "0000").symlink_to(settings().generations / "0000")  # the installed base
    engines = EngineFiles(
        encoder=encoder_path,
        encoder_weights=whisper_folder,
        language_model=llm_path,
        served_language_model=llm_path,
    )
    general = retention_set(read_prompts(general_speech))[:12]
    job = AdaptJob(
        folder=tmp_path,
        generations=tmp_path,
        number=1,
        parent=0,
        engines=engines,
        features=tmp_path / "features",
        examples=[
            Example(id=f"u{index}", audio=recordings[index], text=text, origin="enrolled")
            for index, text in enumerate(TEXTS)
        ],
        general=[
            Example(id=f"general-{p.name}", audio=p.audio, text=p.text, origin="enrolled")
            for p in general
        ],
        system_prompt="",
        threads=1,
    )
    features = Features(engines, job.features, 1, None)

    def doubted(texts: list[str]) -> tuple[str, ...]:
        examples = [
            example.model_copy(update={"text": text})
            for example, text in zip(job.examples, texts, strict=True)
        ]
        doubt_labels(job.model_copy(update={"examples": examples}), features, lambda *_: None)
        return RoundFolder(tmp_path).doubted

    assert doubted(TEXTS) == ()
    poisoned = [TEXTS[1], TEXTS[0], "Zibble quorn flabben.", *TEXTS[3:]]
    assert doubted(poisoned) == ("u0", "u1", "u2")
    less = without_doubted(job, ("u0", "u1", "u2"))
    assert Counter(example.id for example in less.examples) == Counter(
        f"u{index}" for index in range(3, len(TEXTS))
    )
    assert less.labels_left_out == {"doubted": 3}
    with pytest.raises(RoundRefusedError, match="12 of 12 labels do not fit their recordings"):
        doubted([*TEXTS[1:], TEXTS[0]])
