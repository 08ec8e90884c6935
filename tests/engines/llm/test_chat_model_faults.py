"""The conversation with llama.cpp when something fails: one clear line, and only that turn is
lost."""

from pathlib import Path

import llama_cpp.llama_cpp as llama
import numpy as np
import pytest

from engines.errors import AttuneError
from engines.llm.chat_model import LlamaCppLanguageModel
from engines.llm.vocabulary import Vocabulary
from engines.types import SoftTokens
from tests.support.llama_conversations import (
    CONTEXT_TOKENS,
    SYSTEM,
    Opened,
    Reference,
    opened,
    rendered,
    same,
    soft,
)
from tests.support.tiny_llama import END, PRINTABLE, write_tiny_llama


@pytest.mark.parametrize(
    "failing_call", [1, 2, 4, -1], ids=["words", "second token", "fourth token", "after the reply"]
)
def test_a_failed_decode_forgets_its_turn_only(
    tiny: Opened, reference: Reference, monkeypatch: pytest.MonkeyPatch, failing_call: int
) -> None:
    model, _ = tiny
    first = "".join(model.reply("Hello", 10))
    calls = 0
    # The words, each token of the reply but the last, and that one with what follows it.
    if failing_call < 0:
        failing_call = 1 + len(list(model.reply("And then?", 4)))
        model.reset()
        first = "".join(model.reply("Hello", 10))
    decode = llama.llama_decode

    def failing(context: llama.llama_context_p, batch: llama.llama_batch) -> int:
        nonlocal calls
        calls += 1
        return 2 if calls == failing_call else int(decode(context, batch))

    with monkeypatch.context() as patched:
        patched.setattr(llama, "llama_decode", failing)
        with pytest.raises(AttuneError, match=r"could not decode \d+ tokens \(status 2\)"):
            list(model.reply("And then?", 4))
    expected = reference(rendered([("Hello", first)], "Go on"))
    assert same(model.first_logits("Go on"), expected)


def test_soft_tokens_that_are_none(tiny: Opened) -> None:
    model, vocabulary = tiny
    good = soft(vocabulary, "Hello").vectors
    for vectors in (good[:, :-1], good[0], np.full_like(good, np.nan), np.full_like(good, np.inf)):
        with pytest.raises(
            AttuneError, match="are not finite vectors of the language model's width 32"
        ):
            model.reply(SoftTokens(vectors, 1.0), 5)
    for words in ("", " \n", SoftTokens(good[:0], 0.0)):
        with pytest.raises(AttuneError, match="no words"):
            model.reply(words, 5)


def test_a_model_that_scales_its_embeddings_takes_text_only(tmp_path: Path) -> None:
    for model, vocabulary in opened(
        write_tiny_llama(tmp_path / "gemma.gguf", architecture="gemma3")
    ):
        assert list(model.reply("Hello", 5))
        with pytest.raises(AttuneError, match="takes no soft tokens"):
            model.reply(soft(vocabulary, "Hello"), 5)


@pytest.mark.parametrize("kind", ["missing", "empty", "text", "half", "one byte short"])
def test_a_file_that_is_no_model(tiny_path: Path, tmp_path: Path, kind: str) -> None:
    bad = tmp_path / "bad.gguf"
    content = tiny_path.read_bytes()
    contents = {
        "empty": b"",
        "text": b"hello " * 99,
        "half": content[: len(content) // 2],
        "one byte short": content[:-1],
    }
    if kind in contents:
        bad.write_bytes(contents[kind])
    vocabulary = Vocabulary(tiny_path)
    with pytest.raises(AttuneError, match=r"bad\.gguf is (missing|not a language model)") as caught:
        LlamaCppLanguageModel(bad, vocabulary, SYSTEM, CONTEXT_TOKENS)
    assert "\n" not in str(caught.value)


def test_a_model_without_a_chat_template(tmp_path: Path) -> None:
    path = write_tiny_llama(tmp_path / "base.gguf", template=None)
    with pytest.raises(AttuneError, match="has no chat template"):
        LlamaCppLanguageModel(path, Vocabulary(path), SYSTEM, CONTEXT_TOKENS)


def test_a_vocabulary_of_another_model(tiny_path: Path, tmp_path: Path) -> None:
    other = write_tiny_llama(tmp_path / "other.gguf", PRINTABLE[:40])
    with pytest.raises(AttuneError, match="does not belong to the vocabulary"):
        LlamaCppLanguageModel(tiny_path, Vocabulary(other), SYSTEM, CONTEXT_TOKENS)


def test_closing_twice_and_use_after(tiny_path: Path) -> None:
    for model, _ in opened(tiny_path):
        model.close()
        model.close()
        with pytest.raises(RuntimeError, match="is closed"):
            next(model.reply("Hello", 5))
        with pytest.raises(RuntimeError, match="is closed"):
            model.reset()


def test_the_end_token_is_never_said(real: Opened) -> None:
    assert END not in "".join(real[0].reply("Say hello.", 30))
