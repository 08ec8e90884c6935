"""Judges ways of hearing on labelled utterances, through the engines that serve. Knows no training.

Word error is that of the transcript (cascade) or of each soft token's nearest row of the embedding
table, detokenized (aligned). Replies are compared, by ROUGE-L, with the replies to the label's own
text.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from engines.alignment.confidence import Confidence
from engines.alignment.decoder import AlignedDecoder, Output, open_decoder
from engines.alignment.projector import OnnxProjector
from engines.alignment.usual_requests import requests_before
from engines.generations.card import Score
from engines.generations.folder import Generation
from engines.jobs.messages import EngineFiles, Example
from engines.llm.chat_model import LlamaCppLanguageModel
from engines.llm.vocabulary import Vocabulary
from engines.routes import all_words_of
from engines.types import Float32, SoftTokens, Transcript
from engines.whisper.first_pass import FirstPassDecoder

from ..training.features import Features
from .fit_confidence import Heard, hear
from .text_scores import error_rate, rouge_l, word_errors

Hear = Callable[[Example], str | SoftTokens]


@dataclass(frozen=True)
class Scored:
    """How one way of hearing did on one set of utterances, and on each of them."""

    score: Score
    counted: list[tuple[int, int]]
    """Wrong, missing and added words, and the words of the label."""


@dataclass
class Judge:
    """The serving engines, opened when first needed, and what they have already heard."""

    engines: EngineFiles
    features: Path
    system_prompt: str
    threads: int
    reply_tokens: int
    reply_utterances: int
    heard: Callable[[str], None] = lambda _: None
    """Called with a note after each utterance."""
    _references: dict[str, str] = field(default_factory=dict)
    _adapter: Path | None = None

    @cached_property
    def vocabulary(self) -> Vocabulary:
        return Vocabulary(self.engines.language_model)

    @cached_property
    def _heard(self) -> Features:
        return Features(self.engines, self.features, self.threads)

    @property
    def first_pass_decoder(self) -> FirstPassDecoder:
        return self._heard.first_pass_decoder

    @cached_property
    def language_model(self) -> LlamaCppLanguageModel:
        return LlamaCppLanguageModel(
            self.engines.served_language_model,
            self.vocabulary,
            self.system_prompt,
            threads=self.threads,
        )

    def close_language_model(self) -> None:
        """Give back what it takes; the next use opens it anew."""
        if "language_model" in self.__dict__:
            self.language_model.close()
            del self.language_model
            self._adapter = None

    def frames(self, example: Example) -> Float32:
        """Cached encoder frames [T, D] of an example."""
        return self._heard.frames(example)

    def first_pass(self, example: Example) -> Transcript:
        """Cached first-pass transcript of an example."""
        return self._heard.first_pass(example)

    def decoder(
        self,
        projector_onnx: Path,
        confidence: Confidence | None,
        requests: Sequence[str],
        output: Output = "rows",
    ) -> AlignedDecoder:
        """What reads through a projector's graph, as it would serve with `confidence` and the
        user's own `requests`."""
        projector = OnnxProjector(projector_onnx, self.threads)
        scorer = self.language_model.scorer.after(requests_before(requests, self.vocabulary))
        return open_decoder(projector, self.vocabulary, confidence, scorer, self.threads, output)

    def serving_decoder(self, generation: Generation) -> AlignedDecoder:
        """As `generation` serves."""
        card = generation.card
        return self.decoder(
            generation.projector,
            card.confidence,
            card.requests,
            "rows" if generation.adapter is None else "expected_embeddings",
        )

    def pass_through(self, adapter: Path | None) -> None:
        """Let soft tokens that are replied to pass through `adapter` from now on. Raises
        AttuneError where it does not fit."""
        if adapter != self._adapter:
            self.language_model.set_adapter(adapter)
            self._adapter = adapter

    def aligned(self, decoder: AlignedDecoder) -> Hear:
        """Hearing through a decoder, as the aligned route does."""

        def heard(example: Example) -> SoftTokens:
            return decoder.written(
                [
                    decoder.spoken(piece.frames, piece.first_pass)
                    for piece in self._heard.pieces(example)
                ]
            )

        return heard

    def heard_by(self, decoder: AlignedDecoder, example: Example, own: bool) -> Heard | None:
        """What a confidence is fitted to: an example, the user's own or not, as `decoder` hears it.

        None for one that it hears piece by piece: nobody says which of its words are in which
        piece.
        """
        pieces = self._heard.pieces(example)
        return (
            hear(decoder, pieces[0].frames, pieces[0].first_pass, example.text, own)
            if len(pieces) == 1
            else None
        )

    def cascade(self, example: Example) -> str:
        """Hearing through the transcriber."""
        return self._heard.transcript(example).text

    def score(self, hear: Hear, examples: Sequence[Example], name: str, replies: bool) -> Scored:
        """Hear every example; with `replies`, also answer the first `reply_utterances` of them."""
        everything, agreement = [], []
        for index, example in enumerate(examples):
            words = hear(example)
            everything.append(words)
            if replies and index < self.reply_utterances:
                agreement.append(rouge_l(self._reference(example.text), self._reply(words)))
            self.heard(f"{name} {index + 1}/{len(examples)}")
        texts = all_words_of(everything, self.vocabulary)
        counted = [
            word_errors(example.text, text) for example, text in zip(examples, texts, strict=True)
        ]
        error, words_said = error_rate(counted)
        score = Score(
            utterances=len(examples),
            words=words_said,
            word_error_rate=error,
            rouge_l=float(np.mean(agreement)) if agreement else None,
        )
        return Scored(score, counted)

    def _reference(self, text: str) -> str:
        if text not in self._references:
            self._references[text] = self._reply(text)
        return self._references[text]

    def _reply(self, words: str | SoftTokens) -> str:
        return "".join(self.reply_pieces(words))

    def reply_pieces(self, words: str | SoftTokens) -> list[str]:
        """The reply to what was heard, a piece for each token, in a conversation of its own."""
        self.language_model.reset()
        if not (words.strip() if isinstance(words, str) else len(words.vectors)):
            return []
        return list(self.language_model.reply(words, self.reply_tokens))
