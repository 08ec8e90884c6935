"""Tells voices apart that neither the cohort nor the fit has met: atypical speakers, Kokoro's
voices kept for judging, and real people (Asterisk's prompts in five languages, which Debian has).

    python -m tests.bench.voiceprint

Prints, as JSON, the equal error rate by the number of enrolled recordings and by the noise; and of
days on which a user and one other voice spoke, how much was taken for the user's.
"""

import json
import random
import re
import sys
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path

import numpy as np

from calibration.bench.speakers import ATYPICAL
from calibration.corpus.judged_requests import ENROLLED, everyday_requests
from calibration.corpus.synthesis import Synthesizers, Voice, speak
from calibration.corpus.voices import KEPT_FOR_JUDGING, KOKORO
from daemon.cli.common import settings
from engines.audio.recordings import read_audio
from engines.errors import AttuneError
from engines.models.cache import model_path
from engines.models.general_speech import GENERAL_MODEL, read_prompts
from engines.types import SAMPLE_RATE_HZ, Float32
from engines.voiceprint.attribution import Heard, attribute
from engines.voiceprint.cohort import read_cohort
from engines.voiceprint.model import VoiceprintModel
from engines.voiceprint.noise import NOISES, with_noise
from engines.voiceprint.profile import Profile, make_profile, score

SOUNDS = Path("/usr/share/asterisk/sounds")
REAL = (
    "es_MX_f_Allison",
    "fr_CA_f_June",
    "it_IT_f_Menardi",
    "it_IT_m_Carlo",
    "ru_RU_f_IvrvoiceRU",
)
NO_SPEECH = re.compile(r"/silence/|beep|tt-monkeys|tt-weasels|tt-somethingwrong|/monitor")
"""Prompts in which nobody speaks: pauses, tones, and screaming monkeys."""
UTTERANCES, LEAST_UTTERANCES = 24, 12
LEAST_SAMPLES, MOST_SAMPLES = 2 * SAMPLE_RATE_HZ, 4 * SAMPLE_RATE_HZ
HEARD_IN = ("clean", "white 20 dB", "white 10 dB", "pink 10 dB", "babble 10 dB")
_LEAST_CHARACTERS = 22
Prints = list[dict[str, Float32]]
"""The voiceprints of one voice's utterances, by what they are heard in."""


def spoken() -> Iterator[tuple[str, list[Float32]]]:
    """Each voice with its utterances."""
    rng = random.Random(1)
    texts = [
        text
        for text in everyday_requests(300, ENROLLED, random.Random(5))
        if len(text) > _LEAST_CHARACTERS
    ]
    for name, voice in ATYPICAL.items():
        yield name, [speak(text, voice) for text in rng.sample(texts, UTTERANCES)]
    synthesizers = Synthesizers(model_path("kokoro-82m", settings().cache_dir), None)
    for name in sorted(KEPT_FOR_JUDGING):
        voice = Voice("kokoro", name)
        yield name, [synthesizers.speak(text, voice) for text in rng.sample(texts, UTTERANCES)]
    prompts = read_prompts(model_path(GENERAL_MODEL, settings().cache_dir))
    yield "en", list(_long_ones([prompt.audio for prompt in prompts], rng))
    for name in REAL:
        paths = [
            path for ending in ("g722", "wav") for path in (SOUNDS / name).rglob(f"*.{ending}")
        ]
        yield (
            name,
            list(_long_ones([path for path in paths if not NO_SPEECH.search(str(path))], rng)),
        )


def _long_ones(paths: list[Path], rng: random.Random) -> Iterator[Float32]:
    found = 0
    paths = sorted(paths)
    rng.shuffle(paths)
    for path in paths:
        try:
            samples = read_audio(path)
        except AttuneError:
            continue
        if len(samples) >= LEAST_SAMPLES:
            yield samples
            found += 1
        if found == UTTERANCES:
            return


def babble() -> Float32:
    """Four voices at once."""
    synthesizers = Synthesizers(model_path("kokoro-82m", settings().cache_dir), None)
    text = "There is much to be said, and all of them say it at the same time, as people do."
    voices = [synthesizers.speak(text, Voice("kokoro", name)) for name in KOKORO[:4]]
    shortest = min(map(len, voices))
    return np.asarray(sum(one[:shortest] for one in voices), np.float32)


def heard_in(samples: Float32, others: Float32) -> dict[str, Float32]:
    """The samples as they are, and in noise."""
    white = with_noise(samples, "white")
    loud = np.resize(others, len(samples))
    loud = loud * np.sqrt(np.mean(samples**2) / np.mean(loud**2)) * 10 ** (-10 / 20)
    ways = (
        samples,
        samples + (white - samples) * 10 ** (-10 / 20),
        white,
        with_noise(samples, "pink"),
        samples + loud,
    )
    return dict(zip(HEARD_IN, (np.asarray(one, np.float32) for one in ways), strict=True))


def equal_error_rate(own: list[float], others: list[float]) -> float:
    """In percent, where as many of the one kind are refused as of the other are taken."""
    places = np.sort(own + others)
    refused = np.searchsorted(np.sort(own), places) / len(own)
    taken = 1 - np.searchsorted(np.sort(others), places) / len(others)
    best = int(np.abs(refused - taken).argmin())
    return round(50 * float(refused[best] + taken[best]), 2)


def errors(voices: dict[str, Prints], profiles: dict[str, Profile], count: int) -> dict[str, float]:
    """The equal error rate in each noise and in all, of profiles of `count` recordings."""
    scores: dict[str, tuple[list[float], list[float]]] = {way: ([], []) for way in HEARD_IN}
    for user, profile in profiles.items():
        for name, prints in voices.items():
            for one in prints[count:] if name == user else prints:
                for way, print_ in one.items():
                    scores[way][name != user].append(score(profile, print_, read_cohort()))
    together = [[one for way in HEARD_IN for one in scores[way][side]] for side in (0, 1)]
    found = {way: equal_error_rate(*both) for way, both in scores.items()}
    return found | {"all": equal_error_rate(together[0], together[1])}


def share(found: list[Heard]) -> float:
    """The share that is the user's."""
    return sum(heard.user == 1 for heard in found) / len(found)


def days(voices: dict[str, Prints], profiles: dict[str, Profile], count: int) -> dict[str, object]:
    """Of days on which a user and another voice spoke in one noise: how much was taken."""
    own: dict[str, list[float]] = {way: [] for way in HEARD_IN}
    taken = []
    for user, visitor in permutations(voices, 2):
        for way in HEARD_IN:
            said = [one[way] for one in voices[user][count:]]
            visits = [one[way] for one in voices[visitor]]
            found = attribute([*said, *visits], {1: profiles[user]}, read_cohort())
            own[way].append(share(found[: len(said)]))
            taken.append(share(found[len(said) :]))
    return {
        "own taken, %": {way: round(100 * float(np.mean(some)), 1) for way, some in own.items()},
        "others taken, %": round(100 * float(np.mean(taken)), 3),
        "days": len(taken),
        "days on which any was": int(np.count_nonzero(taken)),
        "most on one day, %": round(100 * float(np.max(taken)), 1),
    }


def main() -> int:
    """Run the bench."""
    model, noise = VoiceprintModel(2), babble()
    voices: dict[str, Prints] = {}
    enrolled: dict[str, Float32] = {}
    for name, utterances in spoken():
        kept = [one[:MOST_SAMPLES] for one in utterances if len(one) >= LEAST_SAMPLES]
        if len(kept) < LEAST_UTTERANCES:
            print(f"{name} is left out: {len(kept)} utterances", file=sys.stderr)
            continue
        prints: list[Float32] = []
        for samples in kept:
            ways = [*heard_in(samples, noise).values()]
            ways += [with_noise(samples, way) for way in NOISES]
            found = [one for one in map(model.of, ways) if one is not None]
            if len(found) == len(ways):
                prints.append(np.stack(found))
        voices[name] = [dict(zip(HEARD_IN, one, strict=False)) for one in prints]
        enrolled[name] = np.stack(prints)[:, len(HEARD_IN) :]
        print(f"{name}: {len(kept)} utterances", file=sys.stderr)
    told: dict[str, object] = {"voices": {name: len(prints) for name, prints in voices.items()}}
    for count in (3, 5, 10):
        profiles = {
            name: make_profile(prints[:count], read_cohort()) for name, prints in enrolled.items()
        }
        told[f"{count} enrolled"] = {
            "equal error rate, %": errors(voices, profiles, count),
            **days(voices, profiles, count),
        }
    print(json.dumps(told, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
