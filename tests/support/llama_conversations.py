"""Conversations with llama.cpp as their tests hold them, and what it should have computed."""

from collections.abc import Callable, Iterator
from pathlib import Path

import jinja2
import numpy as np

from engines.llm.chat_model import LlamaCppLanguageModel
from engines.llm.sequence import LlamaSequence
from engines.llm.vocabulary import Vocabulary
from engines.types import Float32, SoftTokens
from tests.support.tiny_llama import CHATML

SYSTEM = "Be brief."
CONTEXT_TOKENS = 256
WIDTH = 32
"""Of the tiny model."""

Opened = tuple[LlamaCppLanguageModel, Vocabulary]
Reference = Callable[[str], Float32]


def opened(
    path: Path, context_tokens: int = CONTEXT_TOKENS, adapter: Path | None = None
) -> Iterator[Opened]:
    vocabulary = Vocabulary(path)
    model = LlamaCppLanguageModel(
        path, vocabulary, SYSTEM, context_tokens, threads=1, adapter=adapter
    )
    yield model, vocabulary
    model.close()
    vocabulary.close()


def rendered(turns: list[tuple[str, str]], words: str) -> str:
    """The conversation as its template writes it, up to where the reply to `words` begins."""
    messages = [{"role": "system", "content": SYSTEM}]
    for asked, replied in turns:
        messages += [{"role": "user", "content": asked}, {"role": "assistant", "content": replied}]
    messages.append({"role": "user", "content": words})
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(CHATML).render(messages=messages, add_generation_prompt=True)


def one_prompt(path: Path, vocabulary: Vocabulary) -> Iterator[Reference]:
    """Logits after a text, control tokens parsed, decoded as one prompt by a sequence that holds
    nothing else."""
    sequence = LlamaSequence(path, 2048, 1, None)

    def logits(text: str) -> Float32:
        sequence.truncate(0)
        sequence.append_tokens(vocabulary.tokenize(text, special=True))
        return sequence.logits().copy()

    yield logits
    sequence.close()


def same(logits: Float32, expected: Float32) -> bool:
    """Equal but for what llama.cpp's kernels round differently when the same tokens come in other
    batches."""
    return bool(np.abs(logits - expected).max() < 0.01 * np.ptp(expected))


def soft(vocabulary: Vocabulary, text: str) -> SoftTokens:
    tokens = vocabulary.tokenize(text)
    return SoftTokens(vocabulary.rows(tokens), float(len(tokens)))
