"""A phrase of the user's own, known by a few recordings of it: no training, and no voice is too
unusual for it.

Each recording is a row of embeddings, a template. What is said is compared with every template by
dynamic time warping that may begin anywhere (Sakoe and Chiba 1978; Müller 2007, subsequence DTW):
the mean cosine distance along the best path. How near it has to come follows from how far the
recordings are apart, and from the nearest that anything else came.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from ..encryption.files import UnreadableError, readable, write_file
from ..errors import AttuneError
from ..types import SAMPLE_RATE_HZ, Float32
from .embeddings import (
    CONTEXT_SECONDS,
    EMBEDDING_SIZE,
    STEP_SAMPLES,
    STEP_SECONDS,
    SpeechEmbeddings,
)

LEAST_TAKES, USUAL_TAKES, MOST_TAKES = 3, 5, 10
SHORTEST_SECONDS, LONGEST_SECONDS = 0.4, 3.0
TAIL_SECONDS = 2 * STEP_SECONDS
"""How long after its end a phrase is recognised: a template reaches so far into what follows."""
_LEAD_STEPS = 2
_QUIET_SHARE = 0.05
"""Of the peak of a take: what is below it at either end is not the phrase."""
_TOWARDS_OTHERS = 0.7
"""The threshold lies this far on the way from the least alike recordings to the nearest other
speech: recordings that were made one after another are more alike than what is said on other
days."""
_NEAREST_USUAL = 0.15
"""How near other speech comes to a phrase, where none was compared: the nearest in twelve minutes
of one woman's prompts came to 0.15 to 0.16 of three phrases."""
_LEAST_MARGIN = 0.03
_MAY_BE_IT = 2
"""So many of the other recordings may come nearer than that: somebody has called in vain before."""
_MOST_APART = 0.11
"""Recordings of one phrase by one person were at most 0.05 apart."""
_AGAIN = "record the phrase again with `attune wake record`"
_BETWEEN = np.zeros(round(0.6 * SAMPLE_RATE_HZ), np.float32)


@dataclass(frozen=True)
class OwnPhrase:
    """A phrase by its recordings."""

    text: str
    """What the user calls it."""
    templates: tuple[Float32, ...]
    """[n, EMBEDDING_SIZE] each, of length 1."""
    threshold: float
    """The distance up to which what is said is the phrase."""


class Warping:
    """The distances of some streams to some templates, step by step."""

    def __init__(self, templates: Sequence[Float32], streams: int = 1) -> None:
        self._lengths = np.array([len(template) for template in templates])
        most = int(self._lengths.max())
        self._templates = np.zeros((len(templates), most, EMBEDDING_SIZE), np.float32)
        for padded, template in zip(self._templates, templates, strict=True):
            padded[: len(template)] = template
        self._paths = np.full((most, streams, len(templates)), np.inf, np.float32)
        """The cost of the best path that ends at each step of a template, and here in the
        stream."""

    def push(self, embeddings: Float32) -> Float32:
        """Take the next embedding of each stream, [streams, EMBEDDING_SIZE]; returns the distances,
        [streams, templates], 0 to 2, of what was said up to here."""
        costs = 1.0 - np.einsum("tnc,sc->nst", self._templates, unit(embeddings))
        before, here = self._paths, np.empty_like(self._paths)
        here[0] = costs[0]
        for step in range(1, len(costs)):
            came = np.minimum(before[step], before[step - 1])
            here[step] = costs[step] + np.minimum(came, here[step - 1])
        self._paths = here
        ends = here[self._lengths - 1, :, np.arange(len(self._lengths))].T
        distances: Float32 = (ends / self._lengths).astype(np.float32)
        return distances

    def forget(self) -> None:
        """Begin anew: what comes next follows nothing."""
        self._paths[:] = np.inf


def unit(embeddings: Float32) -> Float32:
    """The embeddings, [..., EMBEDDING_SIZE], at length 1."""
    lengths = np.linalg.norm(embeddings, axis=-1, keepdims=True)
    scaled: Float32 = embeddings / np.maximum(lengths, 1e-9)
    return scaled


def learn_phrase(
    text: str,
    takes: Sequence[Float32],
    others: Iterable[Float32],
    compared: Callable[[int], None] = lambda count: None,
) -> OwnPhrase:
    """Make a phrase of `takes`, recordings of it, each [n] samples at SAMPLE_RATE_HZ.

    `others` are recordings of other things that are said, by the user and by others: the more, the
    fewer of them will call by mistake. `compared` is told after each of them how many there were.
    Raises AttuneError where there are too few takes, where one is too short, too long or unlike the
    rest, or where other things sound like the phrase.
    """
    if not LEAST_TAKES <= len(takes) <= MOST_TAKES:
        raise AttuneError(
            f"{LEAST_TAKES} to {MOST_TAKES} recordings of the phrase are needed, not {len(takes)}"
        )
    templates = [_template(take, number) for number, take in enumerate(takes, 1)]
    apart = [
        _nearest_each([template], [other for j, other in enumerate(templates) if j != i])[0]
        for i, template in enumerate(templates)
    ]
    if max(apart) > _MOST_APART:
        odd = 1 + int(np.argmax(apart))
        raise AttuneError(
            f"recording {odd} is unlike the others; say the same words each time, in a quiet room"
        )
    embeddings, heard = SpeechEmbeddings(), list[Float32]()
    for count, other in enumerate(others, 1):
        heard.append(embeddings.push(np.concatenate([other, _BETWEEN])))
        compared(count)
    near = np.sort([_NEAREST_USUAL, *_nearest_each(heard, templates)])
    is_it = int(np.sum(near < max(apart) + _LEAST_MARGIN))
    if is_it > _MAY_BE_IT:
        raise AttuneError(
            "other things that are said sound like this phrase; choose a longer one, of three"
            " syllables or more"
        )
    threshold = max(apart) + _TOWARDS_OTHERS * (near[is_it] - max(apart))
    return OwnPhrase(text, tuple(templates), round(float(threshold), 4))


def save_phrase(phrase: OwnPhrase, path: Path) -> None:
    """Write the phrase to `path`, atomically."""
    about = json.dumps({"text": phrase.text, "threshold": phrase.threshold})
    tensors = {str(number): template for number, template in enumerate(phrase.templates)}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, save(tensors, {"phrase": about}))


def read_phrase(path: Path) -> OwnPhrase:
    """Read a phrase that `save_phrase` wrote. Raises AttuneError where there is none, or it is
    damaged."""
    if not path.is_file():
        raise AttuneError('no phrase was recorded; run `attune wake record "YOUR PHRASE"`')
    try:
        with readable(path) as opened, safe_open(opened, "numpy") as file:
            about = json.loads(file.metadata()["phrase"])
            templates = tuple(file.get_tensor(key) for key in sorted(file.keys(), key=int))
        phrase = OwnPhrase(str(about["text"]), templates, float(about["threshold"]))
        well_formed = all(
            template.dtype == np.float32
            and template.ndim == 2
            and template.shape[1] == EMBEDDING_SIZE
            and len(template)
            for template in templates
        )
    except (SafetensorError, UnreadableError, OSError, TypeError, ValueError, KeyError) as error:
        raise AttuneError(f"{path} is damaged ({error}); {_AGAIN}") from error
    if not templates or not well_formed:
        raise AttuneError(f"{path} is damaged; {_AGAIN}")
    return phrase


def check_take(take: Float32, number: int) -> Float32:
    """Return what was said in [n] samples at SAMPLE_RATE_HZ, without the silence around it. Raises
    AttuneError, which names the recording by its `number`, where that cannot be a phrase."""
    loud = np.flatnonzero(np.abs(take) > _QUIET_SHARE * np.abs(take).max(initial=0.0))
    said = take[loud[0] : loud[-1] + 1] if len(loud) else take[:0]
    seconds = len(said) / SAMPLE_RATE_HZ
    if not SHORTEST_SECONDS <= seconds <= LONGEST_SECONDS:
        raise AttuneError(
            f"recording {number} has {seconds:.1f} s of speech; a phrase takes {SHORTEST_SECONDS}"
            f" to {LONGEST_SECONDS} s"
        )
    return said


def _template(take: Float32, number: int) -> Float32:
    """The embeddings of one take."""
    said = check_take(take, number)
    seconds = len(said) / SAMPLE_RATE_HZ
    before = np.zeros(round(CONTEXT_SECONDS * SAMPLE_RATE_HZ), np.float32)
    after = np.zeros(round(TAIL_SECONDS * SAMPLE_RATE_HZ) + STEP_SAMPLES, np.float32)
    embeddings = SpeechEmbeddings().push(np.concatenate([before, said, after]))
    steps = int(np.ceil(seconds / STEP_SECONDS)) + _LEAD_STEPS
    end = round((CONTEXT_SECONDS + seconds + TAIL_SECONDS) / STEP_SECONDS)
    return unit(embeddings[max(0, end - steps) : end])


def _nearest_each(streams: Sequence[Float32], templates: Sequence[Float32]) -> Float32:
    """How near each of the streams, [n, EMBEDDING_SIZE], comes to any template."""
    warping = Warping(templates, len(streams))
    nearest = np.full(len(streams), np.inf, np.float32)
    padded = np.zeros((max(map(len, streams), default=0), len(streams), EMBEDDING_SIZE), np.float32)
    for number, stream in enumerate(streams):
        padded[: len(stream), number] = stream
    for embeddings in padded:
        nearest = np.minimum(nearest, warping.push(embeddings).min(axis=1))
    return nearest
