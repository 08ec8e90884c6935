"""The voices of a training corpus: which there are, how often each is used, and which are kept for
judging.

Knows no audio. The demo's atypical voice (espeak-ng `en-us+m5`) and Kokoro's and festival's voices
kept for judging never train.
"""

import random

from .phonological_processes import (
    ALVEOLAR_DENTALS,
    BACKING,
    CENTRAL_VOWELS,
    CLUSTER_REDUCTION,
    DEAFFRICATION,
    DEVOICING,
    FINAL_CONSONANT_DELETION,
    FINAL_STOP_DELETION,
    FRONTING,
    GLIDING,
    H_DROPPING,
    LABIALISED_DENTALS,
    LATERAL_GLIDING,
    LISP,
    OPEN_VOWELS,
    STOPPING,
    TENSE_VOWELS,
    V_FOR_W,
    WORD_BY_WORD,
)
from .synthesis import Voice

KEPT_FOR_JUDGING = frozenset({"af_heart", "am_michael", "bf_emma", "bm_george"})
"""Kokoro's voices that never train; nor do festival's, Asterisk's prompts, or espeak-ng's variant
m5."""
KOKORO = tuple(
    "af_alloy af_aoede af_bella af_jessica af_kore af_nicole af_nova af_river af_sarah af_sky"
    " am_adam am_echo am_eric am_fenrir am_liam am_onyx am_puck am_santa bf_alice bf_isabella"
    " bf_lily bm_daniel bm_fable bm_lewis".split()
)
_FLITE = ("slt", "rms", "awb", "kal16")
_ESPEAK_LANGUAGES = ("en-us", "en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-029")
_ESPEAK_VARIANTS = (
    "",
    "",
    "+m1",
    "+m3",
    "+m7",
    "+f1",
    "+f2",
    "+f3",
    "+f4",
    "+f5",
    "+linda",
    "+steph",
    "+edward",
)
_PROCESSES = (
    FRONTING,
    BACKING,
    GLIDING,
    LATERAL_GLIDING,
    LISP,
    STOPPING,
    LABIALISED_DENTALS,
    ALVEOLAR_DENTALS,
    DEAFFRICATION,
    DEVOICING,
    FINAL_CONSONANT_DELETION,
    FINAL_STOP_DELETION,
    CLUSTER_REDUCTION,
    H_DROPPING,
    V_FOR_W,
    TENSE_VOWELS,
    OPEN_VOWELS,
    CENTRAL_VOWELS,
)
_NEAR = ("pbfvw", "tdsz", "kgh", "lrwj", "nmN", "szSZ", "fTs", "vDz", "IEa", "aV0", "EI@", "VU0")
"""Groups of similar sounds, any of which may be said as any other."""
_PAUSES = 0.15

SHARES = {"espeak-ng": 0.2, "atypical": 0.36, "flite": 0.23, "piper": 0.18, "kokoro": 0.03}
"""The share of each kind of voice; Kokoro, the most natural, costs eighty times what espeak-ng
costs."""

AUGMENTED_COPIES = {"piper": 2, "kokoro": 3}
"""The number of augmented copies of what a costly voice says; of other voices, there is one."""


def random_voice(rng: random.Random, shares: dict[str, float]) -> Voice:
    """A training voice at a random speed and pitch; its kind is drawn by `shares`."""
    kind = rng.choices(list(shares), list(shares.values()))[0]
    words_per_minute = rng.randint(125, 190)
    if kind == "flite":
        return Voice("flite", rng.choice(_FLITE), words_per_minute)
    if kind == "piper":
        return Voice("piper", "joe", words_per_minute)
    if kind == "kokoro":
        # Two voices' mean is a third voice: 24 recorded styles stand for a few hundred.
        names = rng.sample(KOKORO, rng.choice([1, 2]))
        return Voice("kokoro", "+".join(names), words_per_minute)
    name = rng.choice(_ESPEAK_LANGUAGES) + rng.choice(_ESPEAK_VARIANTS)
    if kind == "atypical":
        return Voice(
            "espeak-ng", name, rng.randint(95, 180), rng.randint(25, 75), random_processes(rng)
        )
    return Voice("espeak-ng", name, words_per_minute, rng.randint(25, 75))


def random_processes(rng: random.Random) -> tuple[tuple[str, str], ...]:
    """The rules of a new atypical speaker: some of the known processes, some made-up ones (a sound
    said as a similar one), perhaps a pause after every word; in random order, at least one of
    them."""
    known, made_up = rng.choice(
        [(1, 0), (2, 0), (3, 0), (4, 0), (0, 2), (1, 1), (1, 2), (2, 1), (3, 1)]
    )
    chosen = rng.sample(_PROCESSES, known)
    for _ in range(made_up):
        said, heard = rng.sample(rng.choice(_NEAR), 2)
        chosen.append(((rf"{said}(?![:SZ@23IU#])", heard),))
    if rng.random() < _PAUSES:
        chosen.append(WORD_BY_WORD)
    rng.shuffle(chosen)
    return tuple(rule for process in chosen for rule in process)
