"""Opens the recogniser of a file, and names what it makes."""

from pathlib import Path

from engines.alignment.request_scorer import RequestScorer
from engines.files import sha256_of
from engines.interfaces import TextScorer
from engines.jobs.messages import EngineFiles
from engines.llm.model import LlamaModel
from engines.llm.sentence_scorer import LlamaSentenceScorer
from engines.llm.vocabulary import Vocabulary
from engines.whisper.encoder_onnx import onnx_opener
from engines.whisper.recogniser import Recogniser, open_recogniser
from engines.whisper.recogniser_weights import RecogniserWeights, read_recogniser

_KEY_DIGITS = 16


def open_weights(
    weights: RecogniserWeights | None,
    engines: EngineFiles,
    threads: int,
    score_texts: TextScorer | None = None,
) -> Recogniser:
    """The recogniser of `weights`, on the processor; None for Whisper as it came. Raises
    AttuneError where an engine cannot be opened."""
    encoder = onnx_opener(engines.encoder, threads)
    return open_recogniser(
        weights,
        encoder,
        engines.encoder_weights,
        threads,
        language=engines.language,
        score_texts=score_texts,
    )


def open_file(recogniser: Path | None, engines: EngineFiles, threads: int) -> Recogniser:
    """The recogniser of a file, on the processor, with the language model's word in doubt, as it
    serves; None for Whisper as it came. Raises AttuneError where it, or an engine, cannot be
    opened."""
    weights = read_recogniser(recogniser) if recogniser is not None else None
    return open_weights(weights, engines, threads, open_request_scorer(engines, threads))


def open_request_scorer(engines: EngineFiles, threads: int) -> RequestScorer | None:
    """What scores the sentences that a recogniser doubts; its language model is opened when first
    needed. None where another language is spoken than it writes."""
    if engines.language != "en":
        return None
    vocabulary = Vocabulary(engines.language_model)

    def opened() -> LlamaSentenceScorer:
        return LlamaSentenceScorer(LlamaModel(engines.served_language_model), vocabulary, threads)

    return RequestScorer(vocabulary, opened)


def key_of(recogniser: Path | None, engines: EngineFiles) -> str:
    """A name for what the recogniser of a file makes, which no other one has: the beginning of the
    sha256 of its weights, and the language unless that is English."""
    weights = sha256_of(recogniser or engines.encoder_weights_file)[:_KEY_DIGITS]
    return weights if engines.language == "en" else f"{weights}-{engines.language}"
