"""Small generations for tests."""

from pathlib import Path

from engines.generations.card import Card
from engines.generations.folder import Generation, write_generation
from engines.generations.pointers import current, previous

CARD = Card(number=0, parent=None, created_at="2026-01-01T00:00:00+00:00", recipe="test")


def write(root: Path, number: int, content: bytes = b"weights") -> Generation:
    sources = root.parent / "sources"
    sources.mkdir(parents=True, exist_ok=True)
    files = {
        name: sources / name.replace("/", "-")
        for name in ("projector.onnx", "projector.safetensors", "adapter/lora.safetensors")
    }
    for path in files.values():
        path.write_bytes(content + str(number).encode())
    return write_generation(root, number, CARD, files)


def numbers(root: Path) -> tuple[int | None, int | None]:
    return tuple(found.number if found else None for found in (current(root), previous(root)))  # type: ignore[return-value]
