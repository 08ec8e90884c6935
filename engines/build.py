"""Opens the engines that serve: the one place that names concrete backends. Knows paths and
numbers, no configuration files."""

from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path

import numpy as np

from .alignment.decoder import AlignedDecoder, Output, open_decoder
from .alignment.projector import OnnxProjector
from .alignment.usual_requests import requests_before
from .device.runtimes import ENCODER, LANGUAGE_MODEL, TRANSCRIBER, Runtimes
from .errors import AttuneError
from .files import sha256_of
from .generations.folder import Generation
from .jobs.messages import EngineFiles
from .llm.chat_model import LlamaCppLanguageModel
from .llm.model import LlamaModel
from .llm.requantize import served_weights
from .llm.vocabulary import Vocabulary
from .models.cache import model_path
from .routes import AlignedRoute, Transcriber
from .types import SAMPLE_RATE_HZ, Device
from .whisper.encoder import SpeechEncoder
from .whisper.encoder_onnx import OnnxEncoder
from .whisper.first_pass import FirstPassDecoder
from .whisper.recogniser import Recogniser, open_recogniser
from .whisper.recogniser_weights import read_recogniser
from .whisper.transcriber import WhisperTranscriber


@dataclass(frozen=True)
class Engines:
    """The engines that serve every generation alike."""

    files: EngineFiles
    vocabulary: Vocabulary
    language_model: LlamaCppLanguageModel
    encoder: SpeechEncoder | None
    """The speech encoder; None where it was not exported yet, and speech takes the cascade."""
    first_pass_decoder: FirstPassDecoder | None
    """The decoder of first-pass transcripts; None where there is no encoder."""
    transcriber: WhisperTranscriber
    threads: int
    runtimes: Runtimes | None = None
    """What computes on the GPU; None where nothing does."""
    recognisers: dict[Path, Recogniser] = field(default_factory=dict)
    """The personal recognisers that are open, by their files."""

    def close(self) -> None:
        """Free the memory of llama.cpp. Nothing that was opened here may be used afterwards."""
        self.recognisers.clear()
        self.language_model.close()
        self.vocabulary.close()

    def compute_once(self) -> None:
        """Encode and decode a second of silence: the first computation on a GPU is slow, or fatal.
        The language model has computed when it was opened."""
        if self.encoder is not None and self.first_pass_decoder is not None:
            self.first_pass_decoder.decode(
                self.encoder.encode(np.zeros(SAMPLE_RATE_HZ, np.float32))
            )

    def transcriber_of(self, generation: Generation | None = None) -> Transcriber:
        """The recogniser of `generation`, or Whisper as it came where that has none.

        A recogniser is opened once; of others that are open, all but the last are closed. Raises
        AttuneError where it cannot be opened, or was made for another speech model.
        """
        path = generation.recogniser if generation is not None else None
        if path is None:
            return self.transcriber
        if path not in self.recognisers:
            opened = open_recogniser(
                read_recogniser(path),
                self.files.encoder,
                self.files.encoder_weights,
                self.threads,
                encoder_device=_device(self.runtimes, ENCODER),
                decoder_device=_device(self.runtimes, TRANSCRIBER),
            )
            for older in list(self.recognisers)[:-1]:
                del self.recognisers[older]
            self.recognisers[path] = opened
        return self.recognisers[path]

    def aligned(self, generation: Generation, unsure_takes_first_pass: bool) -> AlignedRoute:
        """The aligned route through the projector of `generation`, which its first use opens; see
        `AlignedRoute` for `unsure_takes_first_pass`.

        Raises AttuneError where there is no encoder, or where the generation was made for another
        language model or encoder, whose vectors mean something else.
        """
        if self.encoder is None or self.first_pass_decoder is None:
            raise AttuneError(
                f"the speech encoder {self.files.encoder} is missing; run `attune engines build`"
            )
        made_for = {
            "language model": (generation.card.language_model_sha256, self.files.language_model),
            "speech encoder": (generation.card.encoder_sha256, self.files.encoder_weights_file),
        }
        for what, (expected, path) in made_for.items():
            if sha256_of(path) != expected:
                raise AttuneError(
                    f"generation {generation.number:04d} was made for another {what} than {path}; "
                    "set it back, or use a state_dir of its own for the new one"
                )
        return AlignedRoute(
            self.encoder,
            self.first_pass_decoder,
            cache(partial(self._decoder, generation)),
            unsure_takes_first_pass,
        )

    def _decoder(self, generation: Generation) -> AlignedDecoder:
        projector = OnnxProjector(generation.projector, self.threads)
        scorer = self.language_model.scorer.after(
            requests_before(generation.card.requests, self.vocabulary)
        )
        output: Output = "rows" if generation.adapter is None else "expected_embeddings"
        return open_decoder(
            projector, self.vocabulary, generation.card.confidence, scorer, self.threads, output
        )


def engine_files(cache_dir: Path, whisper: str, language_model: str) -> EngineFiles:
    """The paths of the named models and of the exported encoder below `cache_dir`. Raises
    AttuneError where a model was not fetched.

    The encoder's own file is named after the model that it was exported from; it may not be there
    yet.
    """
    weights, gguf = model_path(whisper, cache_dir), model_path(language_model, cache_dir)
    return EngineFiles(
        encoder=cache_dir / "engines" / f"{whisper}.encoder.onnx",
        encoder_weights=weights,
        language_model=gguf,
        served_language_model=served_weights(gguf, cache_dir),
    )


def open_engines(
    files: EngineFiles,
    system_prompt: str,
    context_tokens: int,
    threads: int,
    encoder: SpeechEncoder | None = None,
    runtimes: Runtimes | None = None,
) -> Engines:
    """Open all engines: the encoder in ONNX Runtime where none is given, the others on the GPU
    where `runtimes` says that they compute there.

    Raises AttuneError naming the first engine that is missing or damaged; what was opened before it
    is closed.
    """

    with ExitStack() as opened:  # what is open is closed where the rest cannot be opened
        model = LlamaModel(files.served_language_model, device=_device(runtimes, LANGUAGE_MODEL))
        opened.callback(model.close)
        # The rows of the file that serves are those of the original.
        vocabulary = Vocabulary(files.served_language_model, model)
        transcriber = WhisperTranscriber(
            files.encoder_weights, threads, device=_device(runtimes, TRANSCRIBER)
        )
        if encoder is None and files.encoder.is_file():
            encoder = OnnxEncoder(files.encoder, threads)
        language_model = LlamaCppLanguageModel(
            model, vocabulary, system_prompt, context_tokens, threads
        )
        opened.pop_all()
    return Engines(
        files=files,
        vocabulary=vocabulary,
        language_model=language_model,
        encoder=encoder,
        first_pass_decoder=FirstPassDecoder(transcriber, encoder) if encoder is not None else None,
        transcriber=transcriber,
        threads=threads,
        runtimes=runtimes,
    )


def _device(runtimes: Runtimes | None, claim: str) -> Device:
    return runtimes.device(claim) if runtimes is not None else "cpu"
