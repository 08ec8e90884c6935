"""Judges recognisers on labelled utterances, through the engines that serve. Knows no training.

Word error is that of the transcript (cascade), or of the nearest row of the embedding table for
each soft token, detokenized (aligned). Replies are compared, by ROUGE-L, with the replies to the
label's own text.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType

import numpy as np

from engines.alignment.confidence import Confidence
from engines.alignment.decoder import AlignedDecoder, Output, open_decoder
from engines.alignment.projector import OnnxProjector
from engines.alignment.usual_requests import requests_before
from engines.generations.card import Score
from engines.generations.folder import Generation, projector_of
from engines.jobs.bench_jobs import BenchDistilJob, BenchQualityJob
from engines.jobs.messages import AdaptJob, EngineFiles, Example
from engines.llm.chat_model import LlamaCppLanguageModel
from engines.llm.vocabulary import Vocabulary
from engines.routes import all_words_of, weighed
from engines.types import SoftTokens, Transcript
from engines.whisper.transcript_confidence import TranscriptConfidence

from ..training.features import Features
from .fit_confidence import DecodedExample, decode_example
from .text_scores import error_rate, rouge_l, word_errors

Recognise = Callable[[Example], Transcript | SoftTokens]
"""A function from an utterance to a transcript (cascade) or to soft tokens (aligned)."""


@dataclass(frozen=True)
class Scored:
    """The scores of one recogniser on a set of utterances, and on each of them."""

    score: Score
    counted: list[tuple[int, int]]
    """For each utterance the wrong, missing and added words, and the words of the label."""


@dataclass
class Judge:
    """The serving engines, opened when first needed, with a cache of frames and transcripts."""

    engines: EngineFiles
    features: Path
    system_prompt: str
    threads: int
    reply_tokens: int
    """The most tokens of a reply."""
    _heard_by: dict[Path | None, Features] = field(default_factory=dict)
    _references: dict[str, str] = field(default_factory=dict)
    _language_model: LlamaCppLanguageModel | None = None
    _adapter: Path | None = None
    """The adapter of the language model that is open."""

    @classmethod
    def for_job(cls, job: AdaptJob | BenchDistilJob | BenchQualityJob) -> "Judge":
        """The judge of what `job` makes, by the engines that the job names."""
        return cls(job.engines, job.features, job.system_prompt, job.threads, job.reply_tokens)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        return Vocabulary(self.engines.language_model)

    def heard_by(self, recogniser: Path | None) -> Features:
        """What the recogniser of a file makes of examples, from the cache or computed; None for
        Whisper as it came."""
        if recogniser not in self._heard_by:
            self._heard_by[recogniser] = Features(
                self.engines, self.features, self.threads, recogniser
            )
        return self._heard_by[recogniser]

    @property
    def language_model(self) -> LlamaCppLanguageModel:
        """The language model, opened where it is not open yet."""
        if self._language_model is None:
            self._language_model = LlamaCppLanguageModel(
                self.engines.served_language_model,
                self.vocabulary,
                self.system_prompt,
                threads=self.threads,
            )
        return self._language_model

    def close_language_model(self) -> None:
        """Free the memory of the language model; its next use opens it anew."""
        if self._language_model is not None:
            self._language_model.close()
        self._language_model = self._adapter = None

    def decoder(
        self,
        projector_onnx: Path,
        confidence: Confidence | None,
        requests: Sequence[str],
        output: Output = "rows",
    ) -> AlignedDecoder:
        """The decoder of a projector's graph, as it would serve with `confidence` and the user's
        own `requests`."""
        projector = OnnxProjector(projector_onnx, self.threads)
        scorer = self.language_model.scorer.after(requests_before(requests, self.vocabulary))
        return open_decoder(projector, self.vocabulary, confidence, scorer, self.threads, output)

    def serving_decoder(self, generation: Generation) -> AlignedDecoder:
        """The decoder of `generation`, as it serves. Raises AttuneError where it has no
        projector."""
        graph, _ = projector_of(generation)
        card = generation.card
        return self.decoder(
            graph,
            card.confidence,
            card.requests,
            "rows" if generation.adapter is None else "expected_embeddings",
        )

    def aligned(
        self,
        decoder: AlignedDecoder,
        recogniser: Path | None,
        decoded: Mapping[str, DecodedExample] = MappingProxyType({}),
    ) -> Recognise:
        """The aligned route with `decoder`, on what `recogniser` hears. Examples that were
        `decoded` before its confidence was fitted, by their ids, are only weighed anew."""
        features = self.heard_by(recogniser)

        def recognise(example: Example) -> SoftTokens:
            if decoder.confidence is not None and decoder.output == "rows":
                before = decoded.get(example.id)
                if before is not None:
                    return decoder.read_again(before.alone, before.n_best)
            return decoder.written(
                [
                    decoder.spoken(piece.frames, piece.first_pass)
                    for piece in features.pieces(example)
                ]
            )

        return recognise

    def decoded(
        self, decoder: AlignedDecoder, recogniser: Path | None, example: Example, *, own: bool
    ) -> DecodedExample | None:
        """`example`, heard by `recogniser` and decoded for the fit of a confidence; `own` says
        whether the user said it.

        None for an example that is decoded piece by piece: its label does not say which words are
        in which piece.
        """
        pieces = self.heard_by(recogniser).pieces(example)
        return (
            decode_example(decoder, pieces[0].frames, pieces[0].first_pass, example.text, own=own)
            if len(pieces) == 1
            else None
        )

    def cascade(
        self, recogniser: Path | None, confidence: TranscriptConfidence | None = None
    ) -> Recognise:
        """The cascade through the recogniser of a file, or through Whisper as it came, with the
        `confidence` in its transcripts."""
        features = self.heard_by(recogniser)
        return lambda example: weighed(features.transcript(example), confidence)

    def score(
        self,
        recognise: Recognise,
        examples: Sequence[Example],
        name: str,
        *,
        replies: int = 0,
        adapter: Path | None = None,
        told: Callable[[str], None] = lambda _: None,
    ) -> Scored:
        """Recognise every example, and reply to the first `replies` of them through `adapter`.

        `told` is called with a note after each example, beginning with `name`. Raises AttuneError
        where an engine fails or the adapter does not fit.
        """
        everything, agreement = [], []
        for index, example in enumerate(examples):
            words = recognise(example)
            everything.append(words)
            if index < replies:
                reply = "".join(self.reply_pieces(words, adapter))
                agreement.append(rouge_l(self._reference(example.text), reply))
            told(f"{name} {index + 1}/{len(examples)}")
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
            self._references[text] = "".join(self.reply_pieces(text))
        return self._references[text]

    def reply_pieces(
        self, words: str | Transcript | SoftTokens, adapter: Path | None = None
    ) -> list[str]:
        """The reply to `words` in a conversation of its own, a piece of text for each token; empty
        where there are no words.

        Soft tokens pass through `adapter`, text never does. Raises AttuneError where it does not
        fit.
        """
        if isinstance(words, Transcript):
            words = words.text
        if not isinstance(words, str) and adapter != self._adapter:
            self.language_model.set_adapter(adapter)
            self._adapter = adapter
        self.language_model.reset()
        if not (words.strip() if isinstance(words, str) else len(words.vectors)):
            return []
        return list(self.language_model.reply(words, self.reply_tokens))
