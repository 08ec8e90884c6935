"""Makes the speech encoder in other precisions, compares each with the original on labelled
utterances, and writes their cards.

Of several methods to find the ranges of activations, the one whose frames come nearest to the
original's is kept.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import jiwer
import numpy as np

from engines.alignment.nbest import ProjectorPasses
from engines.alignment.projector import OnnxProjector
from engines.alignment.text_normalisation import spoken_tokens
from engines.alignment.vocabulary_head import VocabularyHead
from engines.audio.recordings import read_audio
from engines.errors import AttuneError
from engines.files import sha256_of, write_atomically
from engines.generations.folder import projector_of, read_generation
from engines.jobs.calibration_jobs import PrecisionJob
from engines.jobs.messages import Example, Report
from engines.llm.vocabulary import Vocabulary
from engines.types import Float32
from engines.whisper.encoder import MAX_SECONDS, encoder_mel, frame_cosines
from engines.whisper.encoder_onnx import OnnxEncoder
from engines.whisper.first_pass import FirstPassDecoder
from engines.whisper.precision import (
    PRECISIONS,
    ErrorRates,
    Precision,
    PrecisionCard,
    card_path,
    path_of,
)
from engines.whisper.transcriber import WhisperTranscriber

from ..evaluation.text_scores import error_rate, word_errors
from ..export.encoder_precision import METHODS, write_float16, write_int8
from ..provenance import describe_machine


def make_precisions(job: PrecisionJob, report: Report) -> int:
    """Run `job`; returns the number of precisions that may be used. Raises AttuneError where there
    is too little speech to compare on."""
    source = job.engines.encoder
    if not source.is_file():
        raise AttuneError(f"the speech encoder {source} is missing; run `attune engines build`")
    checked, calibrated = _shared_out(job)
    job.folder.mkdir(parents=True, exist_ok=True)
    comparison = _Comparison(job, checked)
    original = OnnxEncoder(source, job.threads)
    report(
        "original",
        0.0,
        f"{len(checked)} utterances to compare on, {len(calibrated)} to calibrate with",
    )
    tell = partial(report, "original", 0.5)
    frames = comparison.frames_of(original, tell)
    original_rates = comparison.error_rates(original, frames, tell)
    mels = [
        encoder_mel(read_audio(example.audio, MAX_SECONDS), original.mel_bins)
        for example in calibrated
    ]
    usable = 0
    for precision in PRECISIONS:
        report(precision, 0.0, "")
        tell = partial(report, precision, 0.5)
        nearness = partial(_nearness, comparison, job.threads, frames, tell)
        path, method = _written(job, precision, mels, nearness)
        report(precision, 0.5, f"by {method}" if method else "")
        encoder = OnnxEncoder(path, job.threads)
        others = comparison.frames_of(encoder, tell)
        cosines = _cosines(others, frames)
        card = PrecisionCard(
            precision=precision,
            method=method,
            source_sha256=sha256_of(source),
            sha256=sha256_of(path),
            made_at=datetime.now(UTC).isoformat(timespec="seconds"),
            machine=describe_machine(),
            calibrated_utterances=len(calibrated) if method else 0,
            checked_utterances=len(checked),
            cosine=float(cosines.mean()),
            cosine_worst=float(np.percentile(cosines, 1)),
            size=path.stat().st_size / source.stat().st_size,
            heard=comparison.error_rates(encoder, others, tell),
            original=original_rates,
        )
        card_path(source, precision).unlink(missing_ok=True)  # what stands there is of another file
        path.replace(path_of(source, precision))
        write_atomically(card_path(source, precision), card.model_dump_json(indent=1).encode())
        report(precision, 1.0, card.problem or "good enough")
        usable += not card.problem
    return usable


def _written(
    job: PrecisionJob,
    precision: Precision,
    mels: Sequence[Float32],
    nearness: Callable[[Path], float],
) -> tuple[Path, str]:
    """The file of the encoder in `precision`, and the method whose frames came nearest by
    `nearness`."""
    if precision == "float16":
        path = job.folder / "float16.onnx"
        write_float16(job.engines.encoder, path)
        return path, ""
    found: dict[str, tuple[float, Path]] = {}
    for method in METHODS:
        path = job.folder / f"int8-{method}.onnx"
        try:
            write_int8(job.engines.encoder, path, mels, method)
        except ValueError as error:
            raise AttuneError(
                f"the encoder cannot be calibrated: {error}; enrol or speak more"
            ) from None
        found[method] = nearness(path), path
    best = max(found, key=lambda method: found[method][0])
    for method, (_, path) in found.items():
        if method != best:
            path.unlink()
    return found[best][1], best


class _Comparison:
    """The utterances to compare precisions on, and what recognises them from an encoder's
    frames."""

    def __init__(self, job: PrecisionJob, examples: Sequence[Example]) -> None:
        self._examples = examples
        self.samples = [read_audio(example.audio, MAX_SECONDS) for example in examples]
        self._vocabulary = Vocabulary(job.engines.language_model)
        graph, _ = projector_of(read_generation(job.generation))
        self._projector = OnnxProjector(graph, job.threads)
        self._head = VocabularyHead(
            self._vocabulary, self._projector.known_tokens, self._projector.keys, job.threads
        )
        self._transcriber = WhisperTranscriber(
            job.engines.encoder_weights, job.threads, language=job.engines.language
        )

    def frames_of(self, encoder: OnnxEncoder, tell: Callable[[str], None]) -> list[Float32]:
        """The [T, D] frames that `encoder` makes of each utterance; `tell` is called with a note
        after each."""
        found = []
        for samples in self.samples:
            found.append(encoder.encode(samples))
            tell(f"encoded {len(found)} of {len(self.samples)} utterances")
        return found

    def error_rates(
        self, encoder: OnnxEncoder, frames: Sequence[Float32], tell: Callable[[str], None]
    ) -> ErrorRates:
        """How well the utterances are recognised from `frames`, which `encoder` made; `tell` is
        called with a note after each."""
        first_pass_decoder = FirstPassDecoder(self._transcriber.windows, encoder)
        wrong = tokens = 0
        words: list[tuple[int, int]] = []
        for example, one in zip(self._examples, frames, strict=True):
            expected = spoken_tokens(example.text, self._vocabulary)
            read = ProjectorPasses(self._projector, self._head, one).alone.tokens or ()
            wrong, tokens = wrong + _edits(expected, read), tokens + len(expected)
            words.append(word_errors(example.text, first_pass_decoder.decode(one).text))
            tell(f"recognised {len(words)} of {len(self._examples)} utterances")
        return ErrorRates(token_error=wrong / max(1, tokens), transcript_error=error_rate(words)[0])


def _nearness(
    comparison: _Comparison,
    threads: int,
    originals: Sequence[Float32],
    tell: Callable[[str], None],
    made: Path,
) -> float:
    """The mean cosine between the frames of the encoder `made` and the `originals`."""
    frames = comparison.frames_of(OnnxEncoder(made, threads), tell)
    return float(_cosines(frames, originals).mean())


def _shared_out(job: PrecisionJob) -> tuple[list[Example], list[Example]]:
    """The examples to compare on, and those to calibrate with: every second one each, so that both
    have all speakers."""
    both = [job.examples[index::2][: job.checked_utterances] for index in (0, 1)]
    if not all(both):
        raise AttuneError(
            "there is no speech to calibrate and compare with; run `attune models fetch`, or enrol"
        )
    return both[0], both[1]


def _cosines(frames: Sequence[Float32], originals: Sequence[Float32]) -> Float32:
    """The cosine of every frame with its original, [number of frames]."""
    return frame_cosines(np.concatenate(list(frames)), np.concatenate(list(originals)))


def _edits(expected: Sequence[int], read: Sequence[int]) -> int:
    """The substitutions, deletions and insertions of `read` against `expected`."""
    if not expected:
        return len(read)
    done = jiwer.process_words(" ".join(map(str, expected)), " ".join(map(str, read)))
    return done.substitutions + done.deletions + done.insertions
