"""Scores how likely sentences are as the next request, by the language model that serves. Knows
tokens, no audio and no conversation.

A list of requests stands before them, the user's own where there are any: people differ more in how
they ask than one person does from day to day. Sentences with a common beginning share its
computation: all of them form one tree, decoded in a few batches in a context of its own beside the
conversation's.
"""

import logging
import math
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import llama_cpp.llama_cpp as llama
import numpy as np

from ..errors import AttuneError
from ..interfaces import SentenceScorer, Step, unwatched
from ..types import Float32
from .model import LlamaModel
from .vocabulary import Vocabulary

logger = logging.getLogger(__name__)

_HEADING = "Requests to a voice assistant:\n"
_AT_ONCE_TOKENS = 64
"""The tokens in a batch. Each token's logits take four bytes for every entry of the vocabulary: 39
MB for 64 of them at 152,000 entries."""
_SENTENCES_AT_ONCE = 32
_CONTEXT_TOKENS = 1024
_MOST_BEFORE_TOKENS = 400
_WAIT_SECONDS = 0.1
"""The time between two steps while another thread computes."""


class LlamaSentenceScorer:
    """Scores sentences; several threads may use it."""

    def __init__(self, model: LlamaModel, vocabulary: Vocabulary, threads: int) -> None:
        """Open a context of `model`, without computing anything. Raises AttuneError where there is
        no memory for it."""
        self._vocabulary = vocabulary
        self._alone = threading.Lock()
        self._room = min(_CONTEXT_TOKENS, model.most_tokens)
        self._context: Any = model.open_context(
            self._room, _AT_ONCE_TOKENS, threads, _SENTENCES_AT_ONCE + 1
        )
        self._memory = llama.llama_get_memory(self._context)
        self._batch = llama.llama_batch_init(_AT_ONCE_TOKENS, 0, _SENTENCES_AT_ONCE)
        self._line_end = vocabulary.tokenize("\n")[0]
        self._before: list[int] = []
        """The tokens before every sentence that are computed: whole batches from their beginning,
        or all of them."""

    def after(self, requests: Sequence[Sequence[int]]) -> SentenceScorer:
        """A scorer of sentences that follow `requests`, which are given as spoken tokens; the last
        of them may find no room. It computes the requests in a thread of its own, so that the
        caller need not wait.

        The scorer takes spoken sentences of one token or more and returns the natural log
        likelihood of each, its end included. It raises AttuneError where llama.cpp fails or a
        sentence does not fit the context, and RuntimeError after `close`. It calls the step before
        each batch of at most 64 tokens, and several times a second while it waits for another
        thread.
        """
        before = self._vocabulary.begun(self._vocabulary.tokenize(_HEADING))
        for request in requests:
            line = [*self._vocabulary.tokenize("-"), *request, self._line_end]
            if len(before) + len(line) <= _MOST_BEFORE_TOKENS:
                before += line
        before += self._vocabulary.tokenize("-")
        threading.Thread(
            target=self._make_ready, args=(before,), name="scorer", daemon=True
        ).start()
        return partial(self._scores_of, before)

    def _make_ready(self, before: list[int]) -> None:
        try:
            done = 0
            while done < len(before):
                # For one batch: who has a sentence to judge does not wait for all of them.
                with self._alone:
                    if not self._context or (self._before != before[:done] and done):
                        return  # it is closed, or somebody judges after other requests
                    self._read_batch(before)
                    done = len(self._before)
        except AttuneError as error:  # the first call raises the same
            logger.warning("%s", error)

    def _scores_of(
        self, before: list[int], sentences: Sequence[tuple[int, ...]], step: Step = unwatched, /
    ) -> list[float]:
        found: dict[tuple[int, ...], float] = {}
        while not self._alone.acquire(timeout=_WAIT_SECONDS):
            step()
        try:
            if not self._context:
                raise RuntimeError("the language model is closed")
            while self._read_batch(before):
                step()
            for some in self._groups(sentences):
                found |= self._judge(some, step)
        finally:
            self._alone.release()
        return [found[sentence] for sentence in sentences]

    def _read_batch(self, before: list[int]) -> bool:
        """Compute the next batch of `before`, from its beginning where something else was computed.
        Returns whether more batches follow."""
        done = len(self._before)
        if self._before != before[:done]:
            self._before, done = [], 0
        if done == len(before):
            return False
        if not done:
            llama.llama_memory_clear(self._memory, True)
        self._before = []  # a batch that fails leaves nothing to go on from
        some = before[done : done + _AT_ONCE_TOKENS]
        self._first = self._decode(
            [(token, done + place, [0]) for place, token in enumerate(some)]
        )[-1].copy()
        self._before = before[: done + len(some)]
        return len(self._before) < len(before)

    def _groups(self, sentences: Sequence[tuple[int, ...]]) -> Iterator[list[tuple[int, ...]]]:
        """All sentences, in groups as large as there are sequences and room for; neighbours begin
        alike."""
        most_tokens = self._room - len(self._before)
        group: list[tuple[int, ...]] = []
        for sentence in sorted(set(sentences)):
            if len(sentence) > most_tokens:
                raise AttuneError(
                    f"a sentence of {len(sentence)} tokens is over the {most_tokens} that can be"
                    " judged"
                )
            if (
                len(group) == _SENTENCES_AT_ONCE
                or sum(map(len, group)) + len(sentence) > most_tokens
            ):
                yield group
                group = []
            group.append(sentence)
        if group:
            yield group

    def _judge(self, sentences: list[tuple[int, ...]], step: Step) -> dict[tuple[int, ...], float]:
        sequences: dict[tuple[int, ...], list[int]] = {}
        followers: dict[tuple[int, ...], set[int]] = {}
        for number, sentence in enumerate(sentences, start=1):
            for length, token in enumerate((*sentence, self._line_end)):
                followers.setdefault(sentence[:length], set()).add(token)
                sequences.setdefault(sentence[:length], []).append(number)
        values = _log_probabilities((), self._first, followers[()])
        beginnings = sorted(filter(None, sequences), key=len)
        with self._branches(len(sentences)):
            for start in range(0, len(beginnings), _AT_ONCE_TOKENS):
                some = beginnings[start : start + _AT_ONCE_TOKENS]
                given = [
                    (begun[-1], len(self._before) + len(begun) - 1, sequences[begun])
                    for begun in some
                ]
                step()
                for begun, logits in zip(some, self._decode(given), strict=True):
                    values |= _log_probabilities(begun, logits, followers[begun])
        return {
            sentence: sum(
                values[sentence[:length], token]
                for length, token in enumerate((*sentence, self._line_end))
            )
            for sentence in sentences
        }

    @contextmanager
    def _branches(self, count: int) -> Iterator[None]:
        """Hold sequences 1 to `count`, each a copy of what comes before every sentence."""
        for number in range(1, count + 1):
            llama.llama_memory_seq_cp(self._memory, 0, number, -1, -1)
        try:
            yield
        finally:
            for number in range(1, count + 1):
                llama.llama_memory_seq_rm(self._memory, number, -1, -1)

    def _decode(self, given: Sequence[tuple[int, int, list[int]]]) -> list[Float32]:
        """The logits after each token, which is given with its position and its sequences. They are
        views that the next call overwrites."""
        batch = self._batch
        batch.n_tokens = len(given)
        for place, (token, position, sequences) in enumerate(given):
            batch.token[place], batch.pos[place], batch.n_seq_id[place] = (
                token,
                position,
                len(sequences),
            )
            for index, sequence in enumerate(sequences):
                batch.seq_id[place][index] = sequence
            batch.logits[place] = True
        status = llama.llama_decode(self._context, batch)
        if status:
            raise AttuneError(
                f"llama.cpp could not judge {len(given)} tokens (status {status}): say it again"
            )
        return [
            np.ctypeslib.as_array(
                llama.llama_get_logits_ith(self._context, place), (self._vocabulary.size,)
            )
            for place in range(len(given))
        ]

    def close(self) -> None:
        """Free the context. Further calls do nothing."""
        with self._alone:
            if self._context:
                llama.llama_batch_free(self._batch)
                llama.llama_free(self._context)
                self._context = None


def _log_probabilities(
    begun: tuple[int, ...], logits: Float32, followers: Iterable[int]
) -> dict[tuple[tuple[int, ...], int], float]:
    highest = logits.max()
    total = float(highest) + math.log(float(np.exp(logits - highest).sum()))
    return {(begun, token): float(logits[token]) - total for token in followers}
