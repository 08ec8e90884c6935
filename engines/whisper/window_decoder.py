"""Reads windows of encoder frames with Whisper's decoder, through CTranslate2: the likeliest
sentences, how likely given ones are, and those in which a phrase is said. Knows no samples.

A window ends as one of 30 s ends (`whisper/first_pass.py`).
"""

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache, partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..llm.degeneration import without_cycle
from ..types import FRAME_SECONDS, Float32, TimedWord, Transcript
from .second_pass import Reading

if TYPE_CHECKING:
    from ctranslate2 import StorageView
    from ctranslate2.models import WhisperGenerationResult
    from faster_whisper import WhisperModel
    from tokenizers import Tokenizer

TAIL_FRAMES = 50
"""The frames of silence at the end of a window of 30 s that the decoder looks for."""
_MAX_TOKENS_PER_SECOND = 10
"""Bounds the time of a decode that falls into a loop; quick speech has about 5 tokens a second."""
_MAX_TOKENS_ALWAYS = 20
_MAX_TOKENS = 224
"""Half of the decoder's 448 positions: the other half is for a previous text, which Attune never
gives."""
_POSITIONS = 448
_LEAST_PROBABILITY = 1e-9
_AT_ONCE = 6
"""The sentences that are computed at once: each takes some megabytes."""
_FURTHER_TOKENS = 10
"""The least room for what follows a phrase."""
_END = "<|endoftext|>"


class WindowDecoder:
    """The decoder of a Whisper model in CTranslate2, for one language."""

    def __init__(self, model: "WhisperModel", language: str) -> None:
        self._model = model
        self._language = language
        # A function of the tokenizer, so that nothing here refers to itself: a model that is let go
        # is freed at once.
        self.tokens = lru_cache(maxsize=4096)(partial(_tokens, model.hf_tokenizer))

    def decode(self, window: Float32, seconds: float) -> Transcript:
        """The greedy transcript of a window [T, D] of encoder frames, which holds `seconds` of
        speech."""
        found = self._generate(window, seconds, beam=1)
        tokens = found.sequences_ids[0]
        return Transcript(self.text(tokens, seconds), found.scores[0], len(tokens) + 1)

    def n_best(self, window: Float32, seconds: float, count: int) -> list[Reading]:
        """The `count` likeliest sentences of a window, or fewer."""
        found = self._generate(window, seconds, beam=count)
        readings = [
            Reading(self.text(tokens, seconds), score, len(tokens) + 1)
            for tokens, score in zip(found.sequences_ids, found.scores, strict=True)
        ]
        return [one for one in readings if one.text]

    def with_phrases(
        self, window: Float32, seconds: float, text: str, phrases: Sequence[str], count: int
    ) -> list[Reading]:
        """Sentences that begin as `text` does, have one of `phrases` where `text` goes on
        otherwise, and end as the decoder would then end them.

        They are the `count` places and phrases whose first token is likeliest there, compared with
        the token that `text` has.
        """
        tokens = list(self.tokens(text)[:_MAX_TOKENS])
        begun = [
            tokens[:place] + list(self.tokens(phrases[which]))
            for place, which in self._likely_places(window, tokens, phrases, count)
        ]
        begun = [one for one in begun if len(one) <= _MAX_TOKENS - _FURTHER_TOKENS]
        if not begun:
            return []
        length = length_for(
            max(most_tokens(seconds), max(len(one) for one in begun) + _FURTHER_TOKENS)
        )
        ended = [
            found
            for some, frames in self._batches(window, begun)
            for found in self._model.model.generate(
                frames,
                [self._prompt + one for one in some],
                beam_size=1,
                length_penalty=0.0,
                max_length=length,
                return_scores=True,  # of what was not given
            )
        ]
        readings = []
        for end, likelihood in zip(ended, self._likelihoods(window, begun), strict=True):
            whole = end.sequences_ids[0]
            score = likelihood + end.scores[0]
            readings.append(Reading(self.text(whole, seconds), score, len(whole) + 1))
        return readings

    def log_likelihoods(self, window: Float32, texts: Sequence[str]) -> list[float]:
        """The natural log likelihood of each of `texts`, without its end, for a window."""
        return self._likelihoods(window, [list(self.tokens(text)[:_MAX_TOKENS]) for text in texts])

    def timed(self, window: Float32, spoken_frames: int, text: str) -> list[TimedWord]:
        """The words of `text` with their times in a window of which the first `spoken_frames` hold
        speech, as the decoder's attention tells (after OpenAI's Whisper, `timing.py`)."""
        tokens = list(self.tokens(text)[:_MAX_TOKENS])
        if not tokens or spoken_frames < 1:
            return []
        # CTranslate2 counts the frames before the encoder's stride of two.
        [found] = self._model.model.align(
            _repeated(window, 1), self._prompt, [tokens], [2 * spoken_frames]
        )
        times = np.zeros(len(tokens) + 1)
        for token, frame in reversed(found.alignments):  # the first frame of each token stays
            if token <= len(tokens):
                times[token] = frame * FRAME_SECONDS
        words = text.split()
        starts = [0, *(n for n in range(1, len(tokens)) if self._opens_word(tokens[n]))]
        if len(starts) != len(words):
            return []
        ends = [*starts[1:], len(tokens)]
        return [
            TimedWord(word, float(times[start]), max(float(times[start]), float(times[end])))
            for word, start, end in zip(words, starts, ends, strict=True)
        ]

    def _opens_word(self, token: int) -> bool:
        """Whether the text of `token` begins with a space."""
        return str(self._model.hf_tokenizer.id_to_token(token)).startswith("\u0120")

    def count_tokens(self, text: str) -> int:
        """The number of tokens of `text`."""
        return len(self.tokens(text))

    def text(self, tokens: Sequence[int], seconds: float) -> str:
        """The text of `tokens`, with a loop at its end said once. A decoder that misses the end of
        the speech repeats its last words until it has no tokens left; a text that ends before that
        is kept, since a speaker may repeat words, too."""
        if len(tokens) >= most_tokens(seconds):
            tokens = without_cycle(tokens)
        return str(self._model.hf_tokenizer.decode(tokens)).strip()

    def _likely_places(
        self, window: Float32, tokens: list[int], phrases: Sequence[str], count: int
    ) -> list[tuple[int, int]]:
        """The `count` places among `tokens`, with the phrase for each, whose first token is
        likeliest there."""
        spelled = [self.tokens(phrase) for phrase in phrases]
        odds = self._log_odds(window, tokens, [one[0] for one in spelled])
        places = [
            place
            for place in range(len(tokens) + 1)
            if place == len(tokens) or self._begins_a_word(tokens[place])
        ]
        found = [
            (float(odds[place, which]), place, which)
            for place in places
            for which, one in enumerate(spelled)
            if tuple(tokens[place : place + len(one)]) != one
        ]
        return [(place, which) for _, place, which in sorted(found, reverse=True)[:count]]

    def _log_odds(
        self, window: Float32, tokens: list[int], others: Sequence[int]
    ) -> NDArray[np.float32]:
        """How much likelier than the next of `tokens`, or than the end, each of `others` is after
        each of them: natural logs [len(tokens) + 1, len(others)]."""
        [found] = self._model.model.generate(
            _repeated(window, 1),
            [self._prompt + tokens],
            beam_size=1,
            max_length=length_for(len(tokens) + _FURTHER_TOKENS),
            suppress_blank=False,
            suppress_tokens=[],
            return_logits_vocab=True,
        )
        logits = np.array(found.logits[0], np.float32)[: len(tokens) + 1]
        following = [*tokens, self._model.hf_tokenizer.token_to_id(_END)][: len(logits)]
        own = logits[np.arange(len(logits)), following]
        odds = np.full((len(tokens) + 1, len(others)), -np.inf, np.float32)
        odds[: len(logits)] = logits[:, others] - own[:, None]
        return odds

    def _begins_a_word(self, token: int) -> bool:
        """Whether `token` stands where a word may begin: it begins one, or is a mark behind one."""
        return not str(self._model.hf_tokenizer.decode([token]))[:1].isalnum()

    def _likelihoods(self, window: Float32, sentences: Sequence[list[int]]) -> list[float]:
        return [
            sum(math.log(max(one, _LEAST_PROBABILITY)) for one in aligned.text_token_probs)
            for some, frames in self._batches(window, sentences)
            for aligned in self._model.model.align(
                frames, self._prompt, some, [len(window)] * len(some)
            )
        ]

    def _batches(
        self, window: Float32, sentences: Sequence[list[int]]
    ) -> Iterator[tuple[list[list[int]], "StorageView"]]:
        """A few of `sentences` at a time, with the window once for each."""
        for start in range(0, len(sentences), _AT_ONCE):
            some = list(sentences[start : start + _AT_ONCE])
            yield some, _repeated(window, len(some))

    @property
    def _prompt(self) -> list[int]:
        """The tokens before a text."""
        names = ["<|startoftranscript|>"]
        if self._model.model.is_multilingual:
            names += [f"<|{self._language}|>", "<|transcribe|>"]
        tokenizer = self._model.hf_tokenizer
        return [tokenizer.token_to_id(name) for name in [*names, "<|notimestamps|>"]]

    def _generate(self, window: Float32, seconds: float, beam: int) -> "WhisperGenerationResult":
        [found] = self._model.model.generate(
            _repeated(window, 1),
            [self._prompt],
            beam_size=beam,
            num_hypotheses=beam,
            # The sum of the tokens, not their mean, is the likelihood of a sentence.
            length_penalty=0.0,
            max_length=length_for(most_tokens(seconds)),
            suppress_blank=True,
            return_scores=True,
        )
        return found


def _tokens(tokenizer: "Tokenizer", text: str) -> tuple[int, ...]:
    return tuple(tokenizer.encode(f" {text.strip()}", add_special_tokens=False).ids)


def most_tokens(seconds: float) -> int:
    """The most tokens that `seconds` of speech may have."""
    return min(_MAX_TOKENS, _MAX_TOKENS_ALWAYS + int(_MAX_TOKENS_PER_SECOND * seconds))


def length_for(tokens: int) -> int:
    """The `max_length` with which CTranslate2 decodes up to `tokens` tokens: it keeps half of it
    for a prompt."""
    return min(_POSITIONS, 2 * tokens)


def _repeated(window: Float32, count: int) -> "StorageView":
    from ctranslate2 import StorageView  # a second to load: only who transcribes pays for it

    frames = np.repeat(np.asarray(window[None], np.float32), count, axis=0)
    return StorageView.from_array(np.ascontiguousarray(frames))
