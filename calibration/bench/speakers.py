"""Speakers to benchmark with, for a user without recordings: manifests and recordings of voices
that never train.

*atypical*: the demo's (consistent phonological processes). *second*: atypical of another kind, slow
and slurred: vowels drawn to the middle, fricatives stopped, clusters and final stops lost, a pause
after every word. *third*: of a kind that no corpus has: voiced stops through the nose, and a vowel
inside clusters. The three enrol requests, and are judged on other requests of the same words, on
requests with words that they never enrolled, and on requests in people's own words; beside these
there are the prompts that people read when they enrol. *real*: a woman's recordings (Asterisk's
prompts). *af_heart* and so on: Kokoro's voices kept for judging, with sentences that no base
projector trains on.
"""

import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from engines.jobs.bench_jobs import BenchSpeakersJob
from engines.jobs.messages import Report
from engines.models.enrolment_prompts import enrolment_prompts
from engines.models.general_speech import read_prompts
from engines.types import Float32

from ..corpus.demo_speakers import ATYPICAL_ENROLLED, ATYPICAL_JUDGED, ATYPICAL_VOICE
from ..corpus.judged_requests import ENROLLED, NEVER_ENROLLED, everyday_requests
from ..corpus.manifests import write_recordings, write_rows
from ..corpus.phonological_processes import (
    CLUSTER_REDUCTION,
    EPENTHESIS,
    FINAL_STOP_DELETION,
    NASALISATION,
    STOPPING,
)
from ..corpus.synthesis import Synthesizers, Voice, speak
from ..corpus.texts import is_held_out, wordnet_sentences
from ..corpus.voices import KEPT_FOR_JUDGING
from .free_requests import FREE_REQUESTS

SECOND_VOICE = Voice(
    "espeak-ng",
    "en-gb+klatt2",
    105,
    35,
    ((r"[IE3]", "@"), *STOPPING, *CLUSTER_REDUCTION, *FINAL_STOP_DELETION, (r" ", " _: ")),
)
THIRD_VOICE = Voice("espeak-ng", "en-gb-x-gbclan+klatt5", 135, 62, (*NASALISATION, *EPENTHESIS))
ATYPICAL = {"atypical": ATYPICAL_VOICE, "second": SECOND_VOICE, "third": THIRD_VOICE}
REAL_JUDGED, NATURAL_JUDGED = 200, 50
_SEED = 11


def make_speakers(job: BenchSpeakersJob, report: Report) -> int:
    """Make what `job.folder` lacks; returns the number of manifests. Raises AttuneError where a
    voice or a text is missing."""
    requests = _request_sets()
    made, expected = 0, len(ATYPICAL) * len(requests) + len(KEPT_FOR_JUDGING) + 1
    for name, voice in ATYPICAL.items():
        for kind, texts in requests.items():
            report(f"{name}-{kind}", made / expected, f"{len(texts)} utterances")
            _make(job.folder, f"{name}-{kind}", texts, partial(speak, voice=voice))
            made += 1
    natural = Synthesizers(job.kokoro, None)
    sentences = [text for text in wordnet_sentences() if is_held_out(text)]
    for number, name in enumerate(sorted(KEPT_FOR_JUDGING)):
        texts = random.Random(_SEED + number).sample(sentences, NATURAL_JUDGED)
        report(name, made / expected, f"{len(texts)} utterances")
        _make(
            job.folder, name, texts, partial(natural.speak, voice=Voice("kokoro", name)), threads=1
        )
        made += 1
    prompts = read_prompts(job.recordings)
    chosen = random.Random(_SEED).sample(prompts, min(REAL_JUDGED, len(prompts)))
    write_rows(
        job.folder / "real.jsonl",
        [{"audio": str(prompt.audio.resolve()), "text": prompt.text} for prompt in chosen],
    )
    return made + 1


def _request_sets() -> dict[str, list[str]]:
    rng = random.Random(_SEED)
    requests = everyday_requests(ATYPICAL_ENROLLED + ATYPICAL_JUDGED, ENROLLED, rng)
    never = everyday_requests(ATYPICAL_JUDGED, NEVER_ENROLLED, random.Random(_SEED + 1))
    return {
        "enrol": requests[:ATYPICAL_ENROLLED],
        "judge": requests[ATYPICAL_ENROLLED:],
        "never-enrolled": never,
        "free": list(FREE_REQUESTS),
        "prompts": enrolment_prompts(),
    }


def _make(
    folder: Path, name: str, texts: Sequence[str], say: Callable[[str], Float32], threads: int = 4
) -> None:
    """Speak `texts`, unless their manifest exists."""
    manifest = folder / f"{name}.jsonl"
    if manifest.is_file():
        return
    with ThreadPoolExecutor(threads) as pool:
        write_recordings(manifest, folder / name, zip(texts, pool.map(say, texts), strict=True))
