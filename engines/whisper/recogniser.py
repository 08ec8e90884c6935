"""A personal recogniser in service: Whisper with a person's changes to its weights, on exactly as
much audio as was spoken. Knows no language model.

The encoder's graph and CTranslate2's file stay as they are: the changed weights take the place of
theirs when they are opened, so nothing is built anew for a generation.
"""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from ..audio.pieces import PauseCutter
from ..device.memory import trim
from ..errors import AttuneError
from ..files import sha256_of
from ..interfaces import Step, TextScorer, unwatched
from ..types import FRAME_SECONDS, SAMPLE_RATE_HZ, Device, Float32, TimedWord, Transcript, joined
from .ctranslate2_file import read_ctranslate2, with_variables
from .encoder import SpeechEncoder
from .encoder_onnx import Changes, with_layers
from .first_pass import FirstPassDecoder
from .phrases import NO_PHRASES, PhraseBook
from .recogniser_weights import RecogniserWeights, merged_layers, merged_variables
from .second_pass import leaves_doubt
from .transcriber import WhisperTranscriber


@dataclass(frozen=True)
class Recogniser:
    """An encoder and a decoder of the same changed weights."""

    encoder: SpeechEncoder
    decoder: FirstPassDecoder
    cutter: PauseCutter = field(default_factory=PauseCutter)
    reads_again: bool = True
    """Whether a piece that leaves doubt is read again."""
    score_texts: TextScorer | None = None
    """What a language model says of the sentences that are compared then; None for nothing."""

    def transcribe(
        self, samples: Float32, step: Step = unwatched, phrases: PhraseBook = NO_PHRASES
    ) -> Transcript:
        """Transcribe [N] samples at 16 kHz piece by piece; audio without speech gives an empty
        text. A piece that leaves doubt is read again, with `phrases` in mind. `step` is called
        before each part of the work."""
        found = []
        for piece in self.cutter.cut(samples):
            step()
            frames = self.encoder.encode(piece)
            step()
            found.append(self.read(frames, step, phrases))
        return joined(found)

    def timed(self, samples: Float32, text: str) -> list[TimedWord]:
        """The words of `text`, which was said in [N] samples at 16 kHz, with their times; none
        where they cannot be told apart."""
        spoken = round(len(samples) / SAMPLE_RATE_HZ / FRAME_SECONDS)
        return self.decoder.timed(self.encoder.encode(samples)[:spoken], text)

    def read(
        self, frames: Float32, step: Step = unwatched, phrases: PhraseBook = NO_PHRASES
    ) -> Transcript:
        """Transcribe the encoder frames [T, D] of one piece, as `transcribe` does."""
        first = self.decoder.decode(frames)
        if not self.reads_again or not leaves_doubt(first):
            return first
        step()
        return self.decoder.decode_again(frames, first, phrases, self.score_texts, step)


OpenEncoder = Callable[[Changes], SpeechEncoder]
"""Opens the encoder's graph with changes to it."""


def open_recogniser(
    weights: RecogniserWeights | None,
    open_encoder: OpenEncoder,
    whisper: Path,
    threads: int,
    *,
    language: str = "en",
    device: Device = "cpu",
    score_texts: TextScorer | None = None,
) -> Recogniser:
    """Open the recogniser of `weights`, or Whisper as it came where they are None: with the encoder
    that `open_encoder` opens, and, on `device`, the decoder of the CTranslate2 folder `whisper`,
    which hears what is spoken in `language`. `score_texts` has a word where it leaves doubt.

    Raises AttuneError where one of them cannot be read, or is of another model.
    """
    if weights is None:
        encoder = open_encoder(nullcontext)
        transcriber = WhisperTranscriber(whisper, threads, language=language, device=device)
        return Recogniser(
            encoder, FirstPassDecoder(transcriber.windows, encoder), score_texts=score_texts
        )
    model = whisper / "model.bin"
    if sha256_of(model) != weights.whisper_sha256:
        raise AttuneError(
            f"the recogniser was made for another speech model than {whisper}; set engines.whisper"
            " back, or use a state_dir of its own for the new one"
        )
    variables = read_ctranslate2(model)
    encoder = open_encoder(
        lambda graph: with_layers(graph, merged_layers(weights, variables, "encoder"))
    )
    encoder.ready()
    with with_variables(model, merged_variables(weights, variables)) as changed:
        transcriber = WhisperTranscriber(
            whisper, threads, language=language, device=device, model=changed
        )
    trim()  # a few dozen megabytes were taken only to open it
    return Recogniser(
        encoder,
        FirstPassDecoder(transcriber.windows, encoder, weights.silent_tail),
        score_texts=score_texts,
    )
