"""The demo's two speakers, with their enrolment and the streams that they are judged on. Knows
voices and texts, not the daemon.

*clear*: real recordings of one woman (Asterisk's prompts). *atypical*: espeak-ng speaking phonemes
to which consistent phonological processes were applied (fronting, gliding, lisp, labialised
dentals, dropped final sibilants), reading requests from templates.
"""

import argparse
import os
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import soundfile

from engines.audio.recordings import read_audio
from engines.models.general_speech import read_prompts, retention_set
from engines.types import SAMPLE_RATE_HZ, Float32

from .judged_requests import ENROLLED, everyday_requests
from .manifests import write_recordings, write_rows
from .phonological_processes import (
    FINAL_CONSONANT_DELETION,
    FRONTING,
    GLIDING,
    LABIALISED_DENTALS,
    LISP,
)
from .synthesis import Voice, speak

ATYPICAL_VOICE = Voice(
    "espeak-ng",
    "en-us+m5",
    125,
    42,
    (*FRONTING, *GLIDING, *LABIALISED_DENTALS, *LISP, *FINAL_CONSONANT_DELETION),
)
PAUSE_SECONDS = 1.2
ATYPICAL_ENROLLED, ATYPICAL_JUDGED = 300, 100
CLEAR_JUDGED = 24


def make_atypical(folder: Path, seed: int, judged: int = ATYPICAL_JUDGED) -> Iterator[str]:
    """Speak the atypical speaker's sets into `folder`, yielding a note for each: 300 requests
    to enrol, and `judged` others, the first of ATYPICAL_JUDGED."""
    rng = random.Random(seed)
    texts = everyday_requests(ATYPICAL_ENROLLED + ATYPICAL_JUDGED, ENROLLED, rng)
    texts = texts[: ATYPICAL_ENROLLED + judged]
    spoken = []
    with ThreadPoolExecutor(os.cpu_count()) as threads:  # each waits for a synthesizer's process
        for text, samples in zip(
            texts, threads.map(partial(speak, voice=ATYPICAL_VOICE), texts), strict=True
        ):
            spoken.append((text, samples))
            yield f"atypical speaker: utterance {len(spoken)} of {len(texts)}"
    _write(folder, spoken[:ATYPICAL_ENROLLED], spoken[ATYPICAL_ENROLLED:])


def make_clear(folder: Path, recordings: Path, seed: int) -> Iterator[str]:
    """Write the clear speaker's sets into `folder`, yielding a note for each prompt; the prompts of
    the retention set are left out."""
    prompts = read_prompts(recordings)
    general = {prompt.name for prompt in retention_set(prompts)}
    own = [prompt for prompt in prompts if prompt.name not in general]
    random.Random(seed).shuffle(own)
    spoken = []
    for prompt in own:
        spoken.append((prompt.text, read_audio(prompt.audio)))
        yield f"clear speaker: prompt {prompt.name}"
    _write(folder, spoken[CLEAR_JUDGED:], spoken[:CLEAR_JUDGED])


def _write(
    folder: Path, enrolled: list[tuple[str, Float32]], judged: list[tuple[str, Float32]]
) -> None:
    """Write `enrol.jsonl` with its WAV files, and two long streams of judged requests with pauses
    between them, `judge-0.wav` and `judge-1.wav`, each with a `.jsonl` of texts and times."""
    write_recordings(folder / "enrol.jsonl", folder / "enrol", enrolled)
    for half in (0, 1):
        _write_stream(folder / f"judge-{half}", judged[half::2])


def _write_stream(path: Path, judged: list[tuple[str, Float32]]) -> None:
    pause = np.zeros(int(PAUSE_SECONDS * SAMPLE_RATE_HZ), np.float32)
    stream, places, position = [pause], [], len(pause)
    for text, samples in judged:
        end = position + len(samples)
        places.append(
            {
                "text": text,
                "start_seconds": position / SAMPLE_RATE_HZ,
                "end_seconds": end / SAMPLE_RATE_HZ,
            }
        )
        stream += [samples, pause]
        position = end + len(pause)
    soundfile.write(path.with_suffix(".wav"), np.concatenate(stream), SAMPLE_RATE_HZ, "PCM_16")
    write_rows(path.with_suffix(".jsonl"), places)


def main() -> None:
    """Make one speaker, printing a line of progress per utterance."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("speaker", choices=["clear", "atypical"])
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--recordings", type=Path, help="folder of the general-speech model (clear)"
    )
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument(
        "--judged", type=int, default=ATYPICAL_JUDGED, help="requests to judge (atypical)"
    )
    arguments = parser.parse_args()
    if arguments.speaker == "atypical":
        notes = make_atypical(arguments.folder, arguments.seed, arguments.judged)
    elif arguments.recordings is None:
        parser.error("the clear speaker is made of --recordings")
    else:
        notes = make_clear(arguments.folder, arguments.recordings, arguments.seed)
    for note in notes:
        print(note, flush=True)


if __name__ == "__main__":
    main()
