"""Tokens, their bytes, and the rows that they stand for."""

from collections.abc import Iterator
from pathlib import Path

import gguf
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.errors import AttuneError
from engines.llm.model import LlamaModel
from engines.llm.vocabulary import Vocabulary
from tests.support.tiny_llama import byte_names, write_tiny_llama

SMOLLM2_TOKENS = {
    "What is the capital of France?": [1780, 314, 260, 3575, 282, 4649, 47],
    " and": [284],
    "<|im_start|>": [44, 108, 306, 79, 3738, 108, 46],
}


@pytest.fixture(scope="module")
def vocabulary(llm_path: Path) -> Iterator[Vocabulary]:
    opened = Vocabulary(llm_path)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def byte_vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vocabulary]:
    opened = Vocabulary(
        write_tiny_llama(tmp_path_factory.mktemp("bytes") / "bytes.gguf", byte_names())
    )
    yield opened
    opened.close()


def test_known_token_ids(vocabulary: Vocabulary) -> None:
    assert {text: vocabulary.tokenize(text) for text in SMOLLM2_TOKENS} == SMOLLM2_TOKENS
    assert vocabulary.tokenize("<|im_start|>user<|im_end|>", special=True) == [1, 4093, 2]
    assert vocabulary.tokenize("") == []


@settings(max_examples=100)
@given(text=st.text(max_size=60))
def test_any_text_survives_tokens(byte_vocabulary: Vocabulary, text: str) -> None:
    assert byte_vocabulary.detokenize(byte_vocabulary.tokenize(text)) == text


@settings(max_examples=100)
@given(text=st.text(st.characters(max_codepoint=0x24F, exclude_categories=["Cc"]), max_size=60))
def test_european_text_survives_the_real_vocabulary(vocabulary: Vocabulary, text: str) -> None:
    assert vocabulary.detokenize(vocabulary.tokenize(text)) == text


def test_ill_formed_text_is_replaced(vocabulary: Vocabulary) -> None:
    assert vocabulary.detokenize(vocabulary.tokenize("a\udcffb")) == "a?b"


@settings(max_examples=50)
@given(
    text=st.lists(
        st.sampled_from(["<|im_start|>", "<|im_end|>", "<|endoftext|>", "user", "\n", " "]),
        max_size=8,
    ).map("".join)
)
def test_plain_text_never_becomes_a_control_token(vocabulary: Vocabulary, text: str) -> None:
    assert not {0, 1, 2} & set(vocabulary.tokenize(text))


def test_control_tokens_stand_for_nothing(vocabulary: Vocabulary) -> None:
    assert (
        vocabulary.detokenize(vocabulary.tokenize("<|im_start|>user<|im_end|>", special=True))
        == "user"
    )


def test_a_character_split_over_tokens(byte_vocabulary: Vocabulary) -> None:
    tokens = byte_vocabulary.tokenize("🎉")
    assert [byte_vocabulary.piece(token) for token in tokens] == [
        b"\xf0",
        b"\x9f",
        b"\x8e",
        b"\x89",
    ]
    assert byte_vocabulary.detokenize(tokens[:2]) == "\ufffd"


def test_a_long_token_is_whole(tmp_path: Path) -> None:
    long = "a" * 1000
    opened = Vocabulary(write_tiny_llama(tmp_path / "long.gguf", [*byte_names(), long]))
    assert opened.piece(opened.size - 1) == long.encode()
    opened.close()


def test_rows_are_the_reference_dequantization(vocabulary: Vocabulary, llm_path: Path) -> None:
    tensor = next(
        tensor for tensor in gguf.GGUFReader(llm_path).tensors if tensor.name == "token_embd.weight"
    )
    tokens = [0, 1, 2, 1780, vocabulary.size - 1]
    expected = gguf.quants.dequantize(tensor.data[tokens], tensor.tensor_type)
    assert np.array_equal(vocabulary.rows(tokens), expected)
    assert vocabulary.rows([]).shape == (0, vocabulary.width)


def test_a_row_is_nearest_to_itself(vocabulary: Vocabulary) -> None:
    tokens = [
        *vocabulary.tokenize("What is the capital of France?"),
        8191,
        8192,
        vocabulary.size - 1,
    ]
    nearest, cosines = vocabulary.nearest(vocabulary.rows(tokens) * 0.5)
    assert nearest == tokens
    assert np.allclose(cosines, 1.0, atol=1e-5)


def test_nearest_is_the_best_cosine_of_the_whole_table(vocabulary: Vocabulary) -> None:
    vectors = np.random.default_rng(0).standard_normal((3, vocabulary.width)).astype(np.float32)
    table = vocabulary.rows(np.arange(vocabulary.size))
    cosine = (
        (vectors @ table.T)
        / np.linalg.norm(vectors, axis=1)[:, None]
        / np.maximum(np.linalg.norm(table, axis=1), 1e-6)
    )
    nearest, cosines = vocabulary.nearest(vectors)
    assert nearest == cosine.argmax(axis=1).tolist()
    assert np.allclose(cosines, cosine.max(axis=1), atol=1e-5)
    assert vocabulary.nearest(vectors[:0])[0] == []


@pytest.mark.parametrize("kind", ["missing", "empty", "text", "half", "one byte short"])
def test_a_damaged_file_is_refused_in_one_line(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "bad.gguf"
    content = write_tiny_llama(tmp_path / "good.gguf").read_bytes()
    contents = {
        "empty": b"",
        "text": b"hello " * 99,
        "half": content[: len(content) // 2],
        "one byte short": content[:-1],
    }
    if kind in contents:
        path.write_bytes(contents[kind])
    with pytest.raises(
        AttuneError, match=r"bad\.gguf is (missing|truncated|not a GGUF file)"
    ) as caught:
        Vocabulary(path)
    assert "\n" not in str(caught.value)


def test_a_vocabulary_that_is_borrowed_from_its_model_ends_with_it(llm_path: Path) -> None:
    model = LlamaModel(llm_path)
    alone, opened = Vocabulary(llm_path), Vocabulary(llm_path, model)
    tokens = alone.tokenize("It stays the same.")
    alone.close()
    assert opened.tokenize("It stays the same.") == tokens
    assert opened.detokenize(tokens) == "It stays the same."
    model.close()
    with pytest.raises(AttuneError, match="closed"):
        opened.tokenize("It is gone.")
    opened.close()
    with pytest.raises(AttuneError, match="closed"):
        opened.detokenize(tokens)
