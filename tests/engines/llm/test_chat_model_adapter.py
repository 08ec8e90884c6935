"""An adapter of the language model: speech passes through it, text never."""

from pathlib import Path

import llama_cpp.llama_cpp as llama
import numpy as np
import pytest

from engines.errors import AttuneError
from engines.llm.sequence import LlamaSequence
from engines.llm.vocabulary import Vocabulary
from engines.types import Float32
from tests.support.llama_conversations import (
    CONTEXT_TOKENS,
    WIDTH,
    Opened,
    opened,
    rendered,
    same,
    soft,
)
from tests.support.tiny_llama import FEED_FORWARD, write_adapter


def linear_shapes(
    layers: int, width: int, feed_forward: int, kv_width: int | None = None
) -> dict[str, tuple[int, int]]:
    shapes = {
        "attn_q": (width, width),
        "attn_k": (width, kv_width or width),
        "attn_v": (width, kv_width or width),
        "attn_output": (width, width),
        "ffn_gate": (width, feed_forward),
        "ffn_up": (width, feed_forward),
        "ffn_down": (feed_forward, width),
    }
    return {
        f"blk.{layer}.{name}.weight": shape
        for layer in range(layers)
        for name, shape in shapes.items()
    }


TINY_SHAPES = linear_shapes(2, WIDTH, FEED_FORWARD)
SMOLLM2_SHAPES = linear_shapes(30, 576, 1536, 192)


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_adapter(
        tmp_path_factory.mktemp("adapter") / "adapter.gguf", TINY_SHAPES, scale=0.3
    )


def test_speech_passes_through_it_and_text_never(
    tiny_path: Path, adapter: Path, tiny: Opened
) -> None:
    plain, vocabulary = tiny
    text, spoken = (
        plain.first_logits("Hello there"),
        plain.first_logits(soft(vocabulary, "Hello there")),
    )
    for model, _ in opened(tiny_path, adapter=adapter):
        assert np.array_equal(model.first_logits("Hello there"), text)
        adapted = model.first_logits(soft(vocabulary, "Hello there"))
        assert np.abs(adapted - spoken).max() > 0.05
        assert np.array_equal(model.first_logits("Hello there"), text), "it was cleared"


def test_only_the_speech_span_passes_through_it(tiny_path: Path, adapter: Path) -> None:
    for model, vocabulary in opened(tiny_path, adapter=adapter):
        sequence = LlamaSequence(tiny_path, CONTEXT_TOKENS, 1, adapter)
        before, after = rendered([], "X").split("X")
        sequence.append_tokens(vocabulary.tokenize(before, special=True))
        with sequence.adapter_on():
            sequence.append_vectors(soft(vocabulary, "Hello").vectors)
        sequence.append_tokens(vocabulary.tokenize(after, special=True))
        assert same(model.first_logits(soft(vocabulary, "Hello")), sequence.logits())
        sequence.close()


def test_on_the_real_model(real: Opened, llm_path: Path, tmp_path: Path) -> None:
    plain, vocabulary = real
    words = "What is the capital of France?"
    text = plain.first_logits(words)
    adapter = write_adapter(tmp_path / "adapter.gguf", SMOLLM2_SHAPES)
    for model, _ in opened(llm_path, adapter=adapter):
        assert np.array_equal(model.first_logits(words), text)
        assert np.abs(model.first_logits(soft(vocabulary, words)) - text).max() > 0.05
        model.set_adapter(None)
        assert np.array_equal(model.first_logits(soft(vocabulary, words)), text)


def test_it_is_cleared_when_the_speech_fails(
    tiny_path: Path, adapter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for model, vocabulary in opened(tiny_path, adapter=adapter):
        text = model.first_logits("Hello")
        with monkeypatch.context() as patched:
            patched.setattr(llama, "llama_decode", lambda _context, _batch: -3)
            with pytest.raises(AttuneError, match="status -3"):
                next(model.reply(soft(vocabulary, "Hello"), 5))
        assert np.array_equal(model.first_logits("Hello"), text)


def test_turns_kept_after_trimming_pass_through_it_again(tiny_path: Path, adapter: Path) -> None:
    def adapted_logits(
        sequence: LlamaSequence, vocabulary: Vocabulary, turns: list[tuple[str, str]]
    ) -> Float32:
        """The conversation by spans: every user's words through the adapter, everything else past
        it."""
        sequence.truncate(0)
        rest = rendered(turns, "Go on")
        for words, _ in [*turns, ("Go on", "")]:
            before, rest = rest.split(words, 1)
            sequence.append_tokens(vocabulary.tokenize(before, special=True))
            with sequence.adapter_on():
                sequence.append_vectors(soft(vocabulary, words).vectors)
        sequence.append_tokens(vocabulary.tokenize(rest, special=True))
        return sequence.logits().copy()

    for model, vocabulary in opened(tiny_path, adapter=adapter):
        said = [
            (words, "".join(model.reply(soft(vocabulary, words), 8)))
            for words in ("ABC" * 12, "DEF" * 12, "GHI" * 12, "JKL")
        ]
        logits = model.first_logits(soft(vocabulary, "Go on"))
        sequence = LlamaSequence(tiny_path, 2048, 1, adapter)
        kept = [
            first
            for first in range(5)
            if same(logits, adapted_logits(sequence, vocabulary, said[first:]))
        ]
        sequence.close()
        assert len(kept) == 1
        assert 1 <= kept[0] <= 3


@pytest.mark.parametrize("kind", ["missing", "noise", "truncated", "misfit", "a model"])
def test_one_that_does_not_fit_changes_nothing(
    tiny: Opened, tiny_path: Path, adapter: Path, tmp_path: Path, kind: str
) -> None:
    model, _ = tiny
    bad = tmp_path / "bad.gguf"
    if kind == "noise":
        bad.write_bytes(b"noise" * 100)
    elif kind == "truncated":
        bad.write_bytes(adapter.read_bytes()[: adapter.stat().st_size // 2])
    elif kind == "misfit":
        write_adapter(bad, {"blk.0.attn_q.weight": (WIDTH + 1, WIDTH)})
    elif kind == "a model":
        bad.write_bytes(tiny_path.read_bytes())
    list(model.reply("Hello", 5))
    before = model.first_logits("Go on")
    with pytest.raises(AttuneError, match=r"bad\.gguf is (missing|damaged)") as caught:
        model.set_adapter(bad)
    assert "\n" not in str(caught.value)
    assert np.array_equal(model.first_logits("Go on"), before)
