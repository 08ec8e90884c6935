"""The quantized language model in torch says what llama.cpp says of the same file, and gradients
pass through its blocks."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType as Kind
from torch.nn import functional as F
from transformers import PreTrainedModel

from calibration.bench.random_model import ModelShape, write_random_model
from calibration.distillation.gguf_model import dequantize_linears, load_language_model
from calibration.distillation.quantized_layers import QuantizedLinear
from engines.errors import AttuneError
from engines.llm.sequence import LlamaSequence
from engines.llm.vocabulary import Vocabulary

SMALL = ModelShape("llama", 64, 7, 4, 2, 32, 96, 300)
"""Heads wider than the width's share, and fewer for keys than for queries; layers enough for Gemma
to attend to all once."""
ARCHITECTURES = ("llama", "qwen2", "qwen3", "gemma3")


def write_small(path: Path, architecture: str, kind: Kind = Kind.F32) -> Path:
    # Llama.cpp's qwen2 has no choice.
    head_width = SMALL.width // SMALL.heads if architecture == "qwen2" else SMALL.head_width
    shape = replace(SMALL, architecture=architecture, head_width=head_width)
    return write_random_model(path, shape, kind, Kind.F32, scale=0.15)


def llama_cpp_logits(path: Path, tokens: list[int]) -> torch.Tensor:
    sequence = LlamaSequence(path, 512, 1, None)
    found = []
    for token in tokens:
        sequence.append_tokens([token])
        found.append(sequence.logits().copy())
    sequence.close()
    return torch.from_numpy(np.stack(found))


@torch.no_grad()
def torch_logits(model: PreTrainedModel, tokens: list[int]) -> torch.Tensor:
    logits: torch.Tensor = model(torch.tensor([tokens])).logits[0]
    return logits


def agreement(ours: torch.Tensor, theirs: torch.Tensor) -> tuple[float, float]:
    """The share of equal top tokens, and the mean divergence of llama.cpp's distribution from
    torch's."""
    divergence = (
        F.kl_div(theirs.log_softmax(-1), ours.log_softmax(-1), log_target=True, reduction="none")
        .sum(-1)
        .mean()
    )
    return float((ours.argmax(-1) == theirs.argmax(-1)).float().mean()), float(divergence)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_small_models_of_every_architecture_agree(tmp_path: Path, architecture: str) -> None:
    path = write_small(tmp_path / "small.gguf", architecture)
    tokens = np.random.default_rng(1).integers(0, SMALL.vocabulary, 200).tolist()
    top, divergence = agreement(
        torch_logits(load_language_model(path), tokens), llama_cpp_logits(path, tokens)
    )
    assert top >= 0.995
    assert divergence < 1e-4


@pytest.mark.slow
def test_the_served_model_agrees(llm_path: Path) -> None:
    """llama.cpp computes activations in 8 bits, so a near tie may fall the other way."""
    text = " ".join(
        f"The capital of France is Paris, and {number} times two is {2 * number}. Water boils at a"
        " hundred degrees; you asked me to remind you of the meeting with Daniel on Friday, so I"
        " will."
        for number in range(3, 7)
    )
    tokens = Vocabulary(llm_path).tokenize(text)[:200]
    top, divergence = agreement(
        torch_logits(load_language_model(llm_path), tokens), llama_cpp_logits(llm_path, tokens)
    )
    assert top >= 0.95
    assert divergence <= 0.01


def test_llama_3_divides_its_frequencies(tmp_path: Path) -> None:
    """By factors in a tensor of their own, in llama.cpp as here."""
    plain, path = write_small(tmp_path / "plain.gguf", "llama"), tmp_path / "factors.gguf"
    decoder, writer = gguf.GGUFReader(plain), gguf.GGUFWriter(path, "llama")
    for name, field in decoder.fields.items():
        if not name.startswith("GGUF.") and name != "general.architecture":
            writer.add_key_value(
                name,
                field.contents(),
                field.types[0],
                field.types[-1] if len(field.types) > 1 else None,
            )
    for tensor in decoder.tensors:
        writer.add_tensor(tensor.name, tensor.data)
    writer.add_tensor(
        "rope_freqs.weight", np.linspace(1, 8, SMALL.head_width // 2).astype(np.float32)
    )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    tokens = np.random.default_rng(1).integers(0, SMALL.vocabulary, 120).tolist()
    ours = torch_logits(load_language_model(path), tokens)
    assert agreement(ours, llama_cpp_logits(path, tokens))[0] >= 0.99
    assert agreement(ours, llama_cpp_logits(plain, tokens))[0] < 0.9


def test_gradients_pass_the_blocks(tmp_path: Path) -> None:
    """The same as through plain float32 layers, checkpointed or not."""
    path = write_random_model(
        tmp_path / "q.gguf", replace(SMALL, width=256, feed_forward=256, head_width=64), scale=0.05
    )
    inputs = torch.randn(2, 9, 256, generator=torch.Generator().manual_seed(0))
    found = []
    for way in ("blocks", "checkpointed", "plain"):
        model = load_language_model(path)
        if way == "checkpointed":
            model.activation_checkpointing_enable({"use_reentrant": False})
            model.train()
        if way == "plain":
            dequantize_linears(model)
        given = inputs.clone().requires_grad_()
        loss = model(inputs_embeds=given).logits.logsumexp(-1).mean()
        loss.backward()
        assert given.grad is not None
        found.append((loss.detach(), given.grad))
    for loss, gradient in found[1:]:
        torch.testing.assert_close(loss, found[0][0])
        torch.testing.assert_close(gradient, found[0][1], rtol=1e-4, atol=1e-8)


@pytest.mark.slow
def test_weights_are_the_files_own_pages(llm_path: Path) -> None:
    """Loading and one pass take far less than the weights in 32 or 16 bits would: 538 and 269
    MB."""
    model = load_language_model(llm_path)
    assert sum(isinstance(module, QuantizedLinear) for module in model.modules()) == 30 * 7 + 1
    held = sum(value.numel() * value.element_size() for value in model.parameters())
    assert held < 1e6, "only norms are held"
    program = f"""
import torch
from pathlib import Path
from engines.device.memory import peak_resident_bytes
from calibration.distillation.gguf_model import load_language_model
before = peak_resident_bytes()
with torch.no_grad():
    load_language_model(Path({str(llm_path)!r})).model(torch.arange(20)[None])
print(peak_resident_bytes() - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < llm_path.stat().st_size + 60e6


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("architecture", "is of the architecture bloom; only llama, qwen2, qwen3, gemma3"),
        ("tensor", "has a tensor blk.0.attn_sinks.weight, which nothing here would use"),
        ("missing", "has no weights for model.layers.6.mlp.down_proj.weight"),
        ("scaling", "scales its positions by yarn; only linear"),
        ("truncated", "is truncated"),
        ("noise", "is not a GGUF file"),
    ],
)
def test_what_cannot_be_trained_through_is_one_clear_line(
    tmp_path: Path, change: str, told: str
) -> None:
    path = write_small(tmp_path / "small.gguf", "llama")
    data = path.read_bytes()
    if change == "truncated":
        path.write_bytes(data[:-5000])
    elif change == "noise":
        path.write_bytes(b"noise" * 1000)
    else:
        changed = rewritten(path, tmp_path / "changed.gguf", change)
        path = changed
    with pytest.raises(AttuneError, match=told) as caught:
        load_language_model(path)
    assert "\n" not in str(caught.value)


def rewritten(path: Path, target: Path, change: str) -> Path:
    decoder = gguf.GGUFReader(path)
    writer = gguf.GGUFWriter(target, "bloom" if change == "architecture" else "llama")
    for name, field in decoder.fields.items():
        if not name.startswith("GGUF.") and name != "general.architecture":
            writer.add_key_value(
                name,
                field.contents(),
                field.types[0],
                field.types[-1] if len(field.types) > 1 else None,
            )
    if change == "scaling":
        writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
    for tensor in decoder.tensors:
        if change != "missing" or tensor.name != "blk.6.ffn_down.weight":
            writer.add_tensor(tensor.name, tensor.data)
    if change == "tensor":
        writer.add_tensor("blk.0.attn_sinks.weight", np.zeros(4, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target
