"""The versions of what a job makes a generation with."""

import importlib.metadata


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
