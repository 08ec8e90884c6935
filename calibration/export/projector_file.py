"""The projector on disk: safetensors, with its sizes and known tokens in the metadata. Knows no
training."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from engines.alignment.projector import KNOWN_TOKENS
from engines.encryption.files import UnreadableError, readable, write_file
from engines.errors import AttuneError

from ..projector.cif import CifConfig, CifProjector

_SCALE = ".scale"
_STORED_SIZES = {"reads_first_pass": "reads_draft"}
"""The names in files of fields of CifConfig whose names differ there."""
_PACKED_DIMENSIONS = 2
_PACKED_MAX = 127


def save_projector(projector: CifProjector, path: Path, dtype: torch.dtype = torch.float32) -> None:
    """Write the weights and sizes of `projector` to `path`, whole or not at all."""
    tensors = {
        name: (value.detach().to(dtype) if value.is_floating_point() else value).contiguous()
        for name, value in projector.state_dict().items()
    }
    _write(projector, tensors, path)


def save_packed(projector: CifProjector, path: Path) -> None:
    """Write `projector` with matrices in 8 bits and a scale for each row: the form that ships."""
    tensors: dict[str, Tensor] = {}
    for name, value in projector.state_dict().items():
        if not value.is_floating_point():
            tensors[name] = value
            continue
        if value.dim() < _PACKED_DIMENSIONS:
            tensors[name] = value.detach().half().contiguous()
            continue
        rows = value.detach().flatten(1)
        scale = (rows.abs().amax(dim=1) / _PACKED_MAX).clamp(min=1e-12)
        tensors[name] = (
            (rows / scale.unsqueeze(1)).round().to(torch.int8).view(value.shape).contiguous()
        )
        tensors[name + _SCALE] = scale.float()
    _write(projector, tensors, path)


def load_projector(path: Path) -> CifProjector:
    """Read a projector as float32, in evaluation mode. Raises AttuneError where the file is missing
    or damaged."""
    try:
        with readable(path) as opened, safe_open(opened, "pt") as file:
            config = _config(json.loads(file.metadata()["cif"]))
            known = json.loads(file.metadata()[KNOWN_TOKENS])
            stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, UnreadableError, OSError, KeyError, TypeError, ValueError) as error:
        raise AttuneError(
            f"the projector {path} cannot be read ({error}); choose another with `attune"
            " generations promote`"
        ) from None
    projector = CifProjector(config)
    projector.load_state_dict(_unpacked(stored))
    projector.known_tokens = set(known)
    return projector.eval()


def _write(projector: CifProjector, tensors: dict[str, Tensor], path: Path) -> None:
    about = {
        "cif": json.dumps(_sizes(projector.config)),
        KNOWN_TOKENS: json.dumps(sorted(projector.known_tokens)),
    }
    write_file(path, _ordered(save(tensors, about)))


def _ordered(content: bytes) -> bytes:
    """A safetensors file with its metadata in the order of their names, since the library writes
    them in any: one projector is always the same bytes."""
    begin = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:begin])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[begin:]


def _sizes(config: CifConfig) -> dict[str, object]:
    return {_STORED_SIZES.get(name, name): value for name, value in asdict(config).items()}


def _config(sizes: dict[str, Any]) -> CifConfig:
    names = {stored: name for name, stored in _STORED_SIZES.items()}
    return CifConfig(**{names.get(name, name): value for name, value in sizes.items()})


def _unpacked(stored: dict[str, Tensor]) -> dict[str, Tensor]:
    state = {}
    for name, value in stored.items():
        if not name.endswith(_SCALE):
            scale = stored.get(name + _SCALE)
            state[name] = (
                value
                if scale is None
                else (value.float().flatten(1) * scale.unsqueeze(1)).view(value.shape)
            )
    return state
