"""Measures how fast this machine reads the weights of a language model, which is what a token of a
reply takes: so it can be told beforehand how fast another one would be."""

import time
from pathlib import Path

from .sequence import LlamaSequence

_TOKENS, _WARM_UP = 16, 2


def bytes_a_second(model: Path, threads: int) -> float:
    """Return the bytes of weights a second that are read for the tokens of a reply of `model`, by
    the quickest of 16 tokens. Raises AttuneError where the model does not load."""
    sequence = LlamaSequence(model, 64, threads, None)
    try:
        took = []
        for token in range(1, _WARM_UP + _TOKENS + 1):
            began = time.perf_counter()
            sequence.append_tokens([token % sequence.model.vocabulary_size])
            sequence.logits()
            took.append(time.perf_counter() - began)
    finally:
        sequence.close()
    return model.stat().st_size / min(took[_WARM_UP:])
