"""What every job says of itself: how far it is, and the versions of what it was made with."""

import importlib.metadata
from collections.abc import Callable

Report = Callable[[str, float, str], None]
"""Called with the stage, the fraction done of it, and a note."""


def versions() -> dict[str, str]:
    """The versions of what shapes a generation."""
    names = ("attune", "torch", "onnx", "onnxruntime", "llama-cpp-python", "faster-whisper")
    found = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed as a distribution"
    return found
