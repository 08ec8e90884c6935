"""Opens the engines that serve: the one place that names concrete backends. Knows paths and
numbers, no configuration files."""

from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from functools import cache, cached_property, partial
from pathlib import Path

import numpy as np

from .alignment.decoder import AlignedDecoder, Output, open_decoder
from .alignment.projector import OnnxProjector
from .alignment.request_scorer import RequestScorer
from .alignment.usual_requests import requests_before
from .device.runtimes import LANGUAGE_MODEL, TRANSCRIBER, Runtimes
from .errors import AttuneError
from .files import sha256_of
from .generations.folder import Generation, projector_of
from .interfaces import LanguageModel
from .jobs.messages import EngineFiles
from .llm.chat_model import LlamaCppLanguageModel
from .llm.model import LlamaModel
from .llm.reads_text import ReadsText
from .llm.requantize import served_weights
from .llm.sentence_scorer import LlamaSentenceScorer
from .llm.vocabulary import Vocabulary
from .models.cache import model_path
from .routes import AlignedRoute, Transcriber, words_of
from .types import SAMPLE_RATE_HZ, Device
from .whisper.encoder import SpeechEncoder
from .whisper.encoder_onnx import onnx_opener
from .whisper.first_pass import FirstPassDecoder
from .whisper.recogniser import OpenEncoder, Recogniser, open_recogniser
from .whisper.recogniser_weights import read_recogniser
from .whisper.transcriber import WhisperTranscriber


@dataclass(frozen=True)
class Engines:
    """The engines that serve every generation alike."""

    files: EngineFiles
    vocabulary: Vocabulary
    """The vocabulary of the aligned route."""
    language_model: LlamaCppLanguageModel
    """The language model that replies."""
    open_encoder: OpenEncoder
    encoder: SpeechEncoder | None
    """The encoder of Whisper as it came, open once it is used; None where it was not exported yet,
    and speech takes the cascade."""
    threads: int
    runtimes: Runtimes | None = None
    """What computes on the GPU; None where nothing does."""
    recognisers: dict[Path, Recogniser] = field(default_factory=dict)
    """The personal recognisers that are open, by their files."""
    _closing: ExitStack = field(default_factory=ExitStack)

    @property
    def replies(self) -> LanguageModel:
        """The language model that replies, as it reads what the routes hear."""
        if self.files.replies is None:
            return self.language_model
        return ReadsText(self.language_model, lambda heard: words_of(heard, self.vocabulary))

    @cached_property
    def _scorer(self) -> LlamaSentenceScorer:
        """Scores sentences by the language model of the aligned route, which is opened when first
        needed where another one replies."""
        if self.files.replies is None:
            return self.language_model.scorer
        model = LlamaModel(
            self.files.served_language_model, device=_device(self.runtimes, LANGUAGE_MODEL)
        )
        scorer = LlamaSentenceScorer(model, self.vocabulary, self.threads)
        self._closing.callback(model.close)
        self._closing.callback(scorer.close)
        return scorer

    @cached_property
    def _score_texts(self) -> RequestScorer | None:
        """Scores what the cascade hears, by the language model of the aligned route; None where
        another language is spoken than it writes."""
        if self.files.language != "en":
            return None
        return RequestScorer(self.vocabulary, lambda: self._scorer)

    @cached_property
    def whisper(self) -> WhisperTranscriber:
        """Whisper as it came, opened when first needed: a recogniser takes its place. Raises
        AttuneError where it cannot be opened."""
        return WhisperTranscriber(
            self.files.encoder_weights,
            self.threads,
            language=self.files.language,
            device=_device(self.runtimes, TRANSCRIBER),
        )

    def close(self) -> None:
        """Free the memory of llama.cpp. Nothing that was opened here may be used afterwards."""
        self.recognisers.clear()
        self._closing.close()
        self.language_model.close()
        self.vocabulary.close()

    def compute_once(self) -> None:
        """Encode and decode a second of silence: the first computation on a GPU is slow, or fatal.
        The language model has computed when it was opened."""
        if self.encoder is not None:
            frames = self.encoder.encode(np.zeros(SAMPLE_RATE_HZ, np.float32))
            FirstPassDecoder(self.whisper.windows, self.encoder).decode(frames)

    @property
    def encoder_runs_by(self) -> str:
        """What runs the encoder that was opened last, and where; empty where there is none."""
        opened = [recogniser.encoder for recogniser in self.recognisers.values()]
        encoder = opened[-1] if opened else self.encoder
        return encoder.runs_by if encoder is not None else ""

    def transcriber_of(self, generation: Generation | None = None) -> Transcriber:
        """The recogniser of `generation`, or Whisper as it came where that has none. Raises
        AttuneError where it cannot be opened, or was made for another speech model."""
        path = generation.recogniser if generation is not None else None
        return self._recogniser(path) if path is not None else self.whisper

    def _recogniser(self, path: Path) -> Recogniser:
        """The recogniser of a file, which is opened once; of others that are open, all but the last
        are closed."""
        if path not in self.recognisers:
            opened = open_recogniser(
                read_recogniser(path),
                self.open_encoder,
                self.files.encoder_weights,
                self.threads,
                language=self.files.language,
                device=_device(self.runtimes, TRANSCRIBER),
                score_texts=self._score_texts,
            )
            for older in list(self.recognisers)[:-1]:
                del self.recognisers[older]
            self.recognisers[path] = opened
        return self.recognisers[path]

    def aligned(self, generation: Generation, unsure_takes_cascade: bool) -> AlignedRoute:
        """The aligned route through the projector of `generation`, which its first use opens; see
        `AlignedRoute` for `unsure_takes_cascade`.

        Raises AttuneError where the generation has no projector, or was made for another language
        model or encoder, whose vectors mean something else; where there is no encoder; or where its
        recogniser cannot be opened.
        """
        card, files = generation.card, self.files
        graph, _ = projector_of(generation)
        for what, setting, expected, path in (
            (
                "language model",
                "engines.aligned_language_model",
                card.language_model_sha256,
                files.language_model,
            ),
            ("speech model", "engines.whisper", card.encoder_sha256, files.encoder_weights_file),
        ):
            if sha256_of(path) != expected:
                raise AttuneError(
                    f"generation {generation.number:04d} was made for another {what} than {path};"
                    f" set {setting} back, or use a state_dir of its own for the new one"
                )
        if generation.recogniser is not None:
            recogniser = self._recogniser(generation.recogniser)
        elif self.encoder is None:
            raise AttuneError(
                f"the speech encoder {self.files.encoder} is missing; run `attune engines build`"
            )
        else:
            recogniser = Recogniser(
                self.encoder,
                FirstPassDecoder(self.whisper.windows, self.encoder),
                score_texts=self._score_texts,
            )
        return AlignedRoute(
            recogniser,
            cache(partial(self._decoder, generation, graph)),
            unsure_takes_cascade,
            card.transcript_confidence,
        )

    def _decoder(self, generation: Generation, graph: Path) -> AlignedDecoder:
        projector = OnnxProjector(graph, self.threads)
        scorer = self._scorer.after(requests_before(generation.card.requests, self.vocabulary))
        reads_rows = generation.adapter is None or self.files.replies is not None
        output: Output = "rows" if reads_rows else "expected_embeddings"
        return open_decoder(
            projector, self.vocabulary, generation.card.confidence, scorer, self.threads, output
        )


def engine_files(
    cache_dir: Path,
    whisper: str,
    language: str,
    aligned_language_model: str,
    language_model: str,
) -> EngineFiles:
    """The paths of the named models and of the exported encoder below `cache_dir`: `whisper` hears
    what is spoken in `language`, `language_model` replies, and the aligned route reads the
    vocabulary of `aligned_language_model`. Raises AttuneError where a model was not fetched.

    The encoder's own file is named after the model that it was exported from; it may not be there
    yet.
    """
    weights, gguf = model_path(whisper, cache_dir), model_path(aligned_language_model, cache_dir)
    return EngineFiles(
        encoder=cache_dir / "engines" / f"{whisper}.encoder.onnx",
        encoder_weights=weights,
        language=language,
        language_model=gguf,
        served_language_model=served_weights(gguf, cache_dir),
        replies=(
            None
            if language_model == aligned_language_model
            else served_weights(model_path(language_model, cache_dir), cache_dir)
        ),
    )


def open_engines(
    files: EngineFiles,
    system_prompt: str,
    context_tokens: int,
    threads: int,
    open_encoder: OpenEncoder | None = None,
    runtimes: Runtimes | None = None,
) -> Engines:
    """Open the language model, and name the others: the encoder by `open_encoder`, in ONNX Runtime
    where none is given, the others on the GPU where `runtimes` says that they compute there.

    Raises AttuneError where the language model is missing or damaged.
    """

    open_encoder = open_encoder or onnx_opener(files.encoder, threads)
    with ExitStack() as opened:  # what is open is closed where the rest cannot be opened
        model = LlamaModel(files.replying_language_model, device=_device(runtimes, LANGUAGE_MODEL))
        opened.callback(model.close)
        # The rows of the file that serves are those of the original.
        replied_in = Vocabulary(files.replying_language_model, model)
        vocabulary = replied_in if files.replies is None else Vocabulary(files.language_model)
        opened.callback(vocabulary.close)
        language_model = LlamaCppLanguageModel(
            model, replied_in, system_prompt, context_tokens, threads
        )
        opened.pop_all()
    return Engines(
        files=files,
        vocabulary=vocabulary,
        language_model=language_model,
        open_encoder=open_encoder,
        encoder=open_encoder(nullcontext) if files.encoder.is_file() else None,
        threads=threads,
        runtimes=runtimes,
    )


def _device(runtimes: Runtimes | None, claim: str) -> Device:
    return runtimes.device(claim) if runtimes is not None else "cpu"
