"""A personal recogniser on disk: low-rank changes to the weights of a Whisper model. Knows names
and shapes, no runtime.

W' = W + B A, with A [r, inputs] and B [outputs, r] (LoRA, Hu et al. 2021, arXiv 2106.09685; its
scale is in B already). A file is safetensors, in float16: `NAME.lora_A` and `NAME.lora_B` for each
changed linear layer, by transformers' names below `model.`, and `silent_tail`.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from ..encryption.files import UnreadableError, readable, write_file
from ..errors import AttuneError
from ..types import Float32
from .ctranslate2_file import Variables

MAX_RANK = 512
_A, _B = ".lora_A", ".lora_B"
_WHISPER, _TAIL = "whisper_sha256", "silent_tail"

_STACKED = {
    "self_attn.q_proj": ("self_attention/linear_0", 0, 3),
    "self_attn.k_proj": ("self_attention/linear_0", 1, 3),
    "self_attn.v_proj": ("self_attention/linear_0", 2, 3),
    "self_attn.out_proj": ("self_attention/linear_1", 0, 1),
    "encoder_attn.q_proj": ("attention/linear_0", 0, 1),
    "encoder_attn.k_proj": ("attention/linear_1", 0, 2),
    "encoder_attn.v_proj": ("attention/linear_1", 1, 2),
    "encoder_attn.out_proj": ("attention/linear_2", 0, 1),
    "fc1": ("ffn/linear_0", 0, 1),
    "fc2": ("ffn/linear_1", 0, 1),
}
"""For each linear layer CTranslate2's variable, and which of how many parts stacked in it."""
LINEAR_LAYERS = tuple(_STACKED)
"""The linear layers of a block, by transformers' names; an encoder's has no `encoder_attn`."""


@dataclass(frozen=True)
class Place:
    """The place of a linear layer's weight in a CTranslate2 file."""

    variable: str
    part: int
    parts: int

    def of(self, stacked: Float32) -> Float32:
        """The layer's part [outputs, inputs] of the variable, a view."""
        rows = len(stacked) // self.parts
        return stacked[self.part * rows : (self.part + 1) * rows]


@dataclass(frozen=True)
class LowRank:
    """The change of one linear layer."""

    down: Float32
    """A, [r, inputs]."""
    up: Float32
    """B, [outputs, r], the scale included."""

    @property
    def dense(self) -> Float32:
        """B A, [outputs, inputs]."""
        return self.up @ self.down


@dataclass(frozen=True)
class RecogniserWeights:
    """The low-rank changes of a recogniser."""

    changes: Mapping[str, LowRank]
    """The change of each linear layer that has one, by transformers' names, such as
    `encoder.layers.0.self_attn.q_proj`."""
    silent_tail: Float32
    """[50, D] the frames that it was trained to find behind an utterance's own: the end of a window
    in which nobody speaks, as Whisper's unchanged encoder makes them."""
    whisper_sha256: str
    """The sha256 of the `model.bin` whose weights are changed."""

    def scaled(self, share: float) -> "RecogniserWeights":
        """The weights between those of Whisper (`share` 0) and these (1): W + share * B A."""
        changes = {
            name: LowRank(one.down, np.float32(share) * one.up)
            for name, one in self.changes.items()
        }
        return replace(self, changes=changes)


def blended(
    start: RecogniserWeights | None, trained: RecogniserWeights, share: float
) -> RecogniserWeights:
    """The weights on the way from `start` (`share` 0; Whisper's own where it is None) to `trained`
    (1), in the rank of `trained`.

    Averages of weights keep what both have learnt (WiSE-FT, Wortsman et al. 2022,
    arXiv 2109.01903). The sum of both changes is cut to the rank by its singular values.
    """
    if start is None:
        return trained.scaled(share)
    changes = {}
    for name, change in trained.changes.items():
        before = start.changes.get(name)
        changes[name] = (
            LowRank(change.down, np.float32(share) * change.up)
            if before is None
            else _cut(
                np.concatenate([before.down, change.down]),
                np.concatenate([(1 - share) * before.up, share * change.up], axis=1),
                len(change.down),
            )
        )
    return replace(trained, changes=changes)


def _cut(down: Float32, up: Float32, rank: int) -> LowRank:
    """The change nearest to `up` `down` of a rank (Eckart and Young 1936)."""
    left, left_rest = np.linalg.qr(up)
    right, right_rest = np.linalg.qr(down.T)
    u, sizes, v = np.linalg.svd(left_rest @ right_rest.T)
    root = np.sqrt(sizes[:rank])
    return LowRank(
        np.ascontiguousarray(root[:, None] * (v[:rank] @ right.T), np.float32),
        np.ascontiguousarray((left @ u[:, :rank]) * root, np.float32),
    )


def place_of(name: str) -> Place:
    """The place of the linear layer `name`. Raises ValueError where there is no such layer."""
    found = re.fullmatch(r"(encoder|decoder)\.layers\.(\d+)\.([\w.]+)", name)
    if found is None or found[3] not in _STACKED:
        raise ValueError(f"Whisper has no linear layer {name}")
    side, layer, kind = found.groups()
    variable, part, parts = _STACKED[kind]
    return Place(f"{side}/layer_{layer}/{variable}/weight", part, parts)


def read_recogniser(path: Path) -> RecogniserWeights:
    """Read the recogniser of the file `path`. Raises AttuneError where it is missing, damaged, or
    changes what Whisper does not have."""
    try:
        with readable(path) as opened, safe_open(opened, "numpy") as file:
            sha256 = (file.metadata() or {})[_WHISPER]
            stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        tail = stored.pop(_TAIL).astype(np.float32)
        changes = dict(_changes(stored))
    except (SafetensorError, UnreadableError, OSError, KeyError, ValueError, TypeError) as error:
        raise AttuneError(
            f"the recogniser {path} cannot be read ({error}); choose another generation with"
            " `attune generations promote`"
        ) from None
    return RecogniserWeights(changes, tail, sha256)


def write_recogniser(weights: RecogniserWeights, path: Path) -> None:
    """Write `weights` to `path`, whole or not at all."""
    tensors = {_TAIL: np.ascontiguousarray(weights.silent_tail, np.float16)}
    for name, one in weights.changes.items():
        tensors[name + _A] = np.ascontiguousarray(one.down, np.float16)
        tensors[name + _B] = np.ascontiguousarray(one.up, np.float16)
    write_file(path, save(tensors, {_WHISPER: weights.whisper_sha256}))


def merged_variables(
    weights: RecogniserWeights, variables: Variables
) -> Iterator[tuple[str, Float32]]:
    """The variables that `weights` change, each with CTranslate2's name, as they are with the
    change; in float32, one at a time. Raises AttuneError where a change does not fit `variables`.
    """
    by_variable: dict[str, list[str]] = {}
    for name in weights.changes:
        by_variable.setdefault(place_of(name).variable, []).append(name)
    for variable, names in by_variable.items():
        found = variables.get(variable)
        if found is None:
            raise _unlike(names[0])
        merged = found.astype(np.float32)
        for name in names:
            part, change = place_of(name).of(merged), weights.changes[name]
            if part.shape != (len(change.up), change.down.shape[1]):
                raise _unlike(name)
            part += change.dense
        yield variable, merged


def merged_layers(
    weights: RecogniserWeights, variables: Variables, side: str
) -> Iterator[tuple[str, Float32, Float32]]:
    """The linear layers of a `side` (`encoder`, `decoder`) that `weights` change, each with its
    name, its weight [outputs, inputs] in `variables`, and that with the change; in float32, one at
    a time. Raises AttuneError where a change does not fit `variables`."""
    for variable, merged in merged_variables(_of_side(weights, side), variables):
        before = variables[variable].astype(np.float32)
        for name in weights.changes:
            place = place_of(name)
            if place.variable == variable:
                yield name, place.of(before), place.of(merged)


def _of_side(weights: RecogniserWeights, side: str) -> RecogniserWeights:
    changes = {n: one for n, one in weights.changes.items() if n.startswith(side + ".")}
    return replace(weights, changes=changes)


def _unlike(name: str) -> AttuneError:
    return AttuneError(
        f"the recogniser changes the layer {name}, which this Whisper model does not have in that"
        " shape; it was made for another model"
    )


def _changes(stored: Mapping[str, np.ndarray]) -> Iterator[tuple[str, LowRank]]:
    """The changes of a file's tensors. Raises ValueError where they are no pairs that fit."""
    names = {name.removesuffix(_A) for name in stored if name.endswith(_A)}
    if unpaired := stored.keys() ^ {name + end for name in names for end in (_A, _B)}:
        raise ValueError(f"{min(unpaired)} is no half of a pair")
    for name in sorted(names):
        place_of(name)
        down, up = (stored[name + end].astype(np.float32) for end in (_A, _B))
        if down.ndim != 2 or up.ndim != 2 or up.shape[1] != len(down) or len(down) > MAX_RANK:
            raise ValueError(f"the shapes of {name} do not fit: {up.shape} and {down.shape}")
        if not (np.isfinite(down).all() and np.isfinite(up).all()):
            raise ValueError(f"{name} is not finite")
        yield name, LowRank(down, up)
