"""Partial LoRA: only speech passes through it, in torch and in llama.cpp alike, and what is saved
comes back."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType as Kind
from peft import PeftModel
from safetensors import safe_open
from torch import Tensor

from calibration.bench.random_model import write_random_model
from calibration.distillation.gguf_model import LINEAR_NAMES, load_language_model
from calibration.distillation.partial_lora import (
    PartialLoraLinear,
    add_adapter,
    export_adapter,
    load_adapter,
    save_adapter,
    set_speech,
)
from engines.errors import AttuneError
from engines.llm.sequence import LlamaSequence
from tests.calibration.distillation.test_gguf_model import ARCHITECTURES, SMALL, write_small

TEXT, SPOKEN, CLOSING = 5, 7, 4


@contextmanager
def speech_at(model: PeftModel, mask: Tensor | None) -> Iterator[None]:
    set_speech(model, mask)
    try:
        yield
    finally:
        set_speech(model, None)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small(tmp_path_factory.mktemp("small") / "small.gguf", "llama")


def adapted(path: Path, ranks: dict[str, int] | None = None) -> PeftModel:
    """With an adapter that changes something."""
    torch.manual_seed(0)
    model = add_adapter(load_language_model(path), rank=4, ranks=ranks, alpha=8, dropout=0.0)
    for name, value in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(value, std=0.1)
    return model.eval()


def inputs(model: PeftModel, seed: int = 0) -> tuple[list[int], Tensor, list[int], Tensor]:
    """Tokens before the speech, its soft tokens, tokens after it, and where it stands."""
    rng = np.random.default_rng(seed)
    before, after = (rng.integers(0, SMALL.vocabulary, count).tolist() for count in (TEXT, CLOSING))
    soft = torch.from_numpy(rng.standard_normal((SPOKEN, SMALL.width)).astype(np.float32)) * 0.1
    mask = torch.zeros(1, TEXT + SPOKEN + CLOSING, dtype=torch.bool)
    mask[:, TEXT : TEXT + SPOKEN] = True
    return before, soft, after, mask


def logits(
    model: PeftModel, before: list[int], soft: Tensor, after: list[int], mask: Tensor | None
) -> Tensor:
    embed = model.get_input_embeddings()
    given = torch.cat([embed(torch.tensor(before)), soft, embed(torch.tensor(after))])
    with speech_at(model, mask):
        found: Tensor = model(inputs_embeds=given[None]).logits[0]
    return found


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_torch_and_llama_cpp_agree_with_it_on(tmp_path: Path, architecture: str) -> None:
    path = write_small(tmp_path / "small.gguf", architecture)
    model = adapted(path, {"mlp.down_proj": 2, "k_proj": 0})
    export_adapter(model, tmp_path / "adapter.gguf")
    before, soft, after, mask = inputs(model)
    with torch.no_grad():
        ours = logits(model, before, soft, after, mask)[-1]
        without = logits(model, before, soft, after, None)[-1]
    sequence = LlamaSequence(path, 64, 1, tmp_path / "adapter.gguf")
    sequence.append_tokens(before)
    with sequence.adapter_on():
        sequence.append_vectors(soft.numpy())
    sequence.append_tokens(after)
    theirs = torch.from_numpy(sequence.logits().copy())
    sequence.close()
    torch.testing.assert_close(ours, theirs, rtol=2e-3, atol=2e-3 * float(theirs.abs().max()))
    assert float((ours - without).abs().max()) > 0.02 * float(ours.abs().max()), (
        "it changes something"
    )


def test_text_never_passes_through_it(small: Path) -> None:
    model, plain = adapted(small), load_language_model(small)
    tokens = torch.randint(0, SMALL.vocabulary, (1, 20), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(model(tokens).logits, plain(tokens).logits)
        before, soft, after, mask = inputs(model)
        spoken, silent = (logits(model, before, soft, after, some) for some in (mask, None))
    assert torch.equal(spoken[:TEXT], silent[:TEXT])
    assert not torch.allclose(spoken[TEXT:], silent[TEXT:])
    assert all(
        module.speech is None for module in model.modules() if isinstance(module, PartialLoraLinear)
    )


def test_a_fresh_one_changes_nothing(small: Path) -> None:
    model = add_adapter(load_language_model(small)).eval()
    before, soft, after, mask = inputs(model)
    with torch.no_grad():
        assert torch.equal(
            logits(model, before, soft, after, mask), logits(model, before, soft, after, None)
        )


def test_gradients_are_the_same_checkpointed(small: Path) -> None:
    found = []
    for checkpointed in (False, True):
        model = adapted(small)
        if checkpointed:
            model.get_base_model().activation_checkpointing_enable({"use_reentrant": False})  # type: ignore[operator]
            model.train()
        before, soft, after, mask = inputs(model)
        soft.requires_grad_()
        embed = model.get_input_embeddings()
        given = torch.cat([embed(torch.tensor(before)), soft, embed(torch.tensor(after))])
        with speech_at(model, mask):
            model(inputs_embeds=given[None]).logits.logsumexp(-1).mean().backward()
        trained = {
            name: value.grad for name, value in model.named_parameters() if value.requires_grad
        }
        assert all(
            gradient is not None and gradient.abs().sum() > 0 for gradient in trained.values()
        )
        found.append((soft.grad, trained))
    (soft_once, once), (soft_twice, twice) = found
    torch.testing.assert_close(soft_once, soft_twice)
    torch.testing.assert_close(once, twice)


def test_only_the_adapter_is_trained_at_the_ranks_asked_for(small: Path) -> None:
    model = add_adapter(load_language_model(small), rank=4, ranks={"mlp.down_proj": 2, "k_proj": 0})
    trained = {
        name: tuple(value.shape) for name, value in model.named_parameters() if value.requires_grad
    }
    assert len(trained) == SMALL.layers * 6 * 2
    assert {shape[0] for name, shape in trained.items() if "down_proj.lora_A" in name} == {2}
    assert {shape[0] for name, shape in trained.items() if "q_proj.lora_A" in name} == {4}
    assert not any("k_proj" in name for name in trained)
    with pytest.raises(
        AttuneError, match="no linear layer is called proj; they are self_attn.q_proj"
    ):
        add_adapter(load_language_model(small), ranks={"proj": 3})


def test_what_is_saved_comes_back(small: Path, tmp_path: Path) -> None:
    model = adapted(small, {"mlp.down_proj": 2})
    save_adapter(model, tmp_path / "adapter")
    assert {path.name for path in (tmp_path / "adapter").iterdir()} >= {
        "adapter_config.json",
        "adapter_model.safetensors",
    }
    with safe_open(tmp_path / "adapter" / "adapter_model.safetensors", "pt") as file:
        assert len(file.keys()) == SMALL.layers * len(LINEAR_NAMES) * 2
    again = load_adapter(load_language_model(small), tmp_path / "adapter", trained=True)
    before, soft, after, mask = inputs(model)
    with torch.no_grad():
        assert torch.equal(
            logits(again.eval(), before, soft, after, mask),
            logits(model, before, soft, after, mask),
        )
    assert any(value.requires_grad for value in again.parameters())
    (tmp_path / "adapter" / "adapter_model.safetensors").write_bytes(b"noise")
    with pytest.raises(AttuneError, match="cannot be read"):
        load_adapter(load_language_model(small), tmp_path / "adapter", trained=True)


def test_it_is_never_merged(small: Path) -> None:
    with pytest.raises(AttuneError, match="text must not pass through it"):
        adapted(small).merge_adapter()


def test_through_quantized_blocks(tmp_path: Path) -> None:
    """As the served model has them."""
    shape = replace(SMALL, width=256, feed_forward=256, head_width=64)
    path = write_random_model(tmp_path / "small.gguf", shape, Kind.Q8_0, Kind.Q8_0, scale=0.08)
    model = adapted(path)
    export_adapter(model, tmp_path / "adapter.gguf")
    rng = np.random.default_rng(0)
    soft = torch.from_numpy(rng.standard_normal((9, 256)).astype(np.float32)) * 0.1
    with torch.no_grad(), speech_at(model, torch.ones(1, 9, dtype=torch.bool)):
        ours = model(inputs_embeds=soft[None]).logits[0, -1]
    sequence = LlamaSequence(path, 64, 1, tmp_path / "adapter.gguf")
    with sequence.adapter_on():
        sequence.append_vectors(soft.numpy())
    theirs = torch.from_numpy(sequence.logits().copy())
    sequence.close()
    assert np.corrcoef(ours.numpy(), theirs.numpy())[0, 1] > 0.999
