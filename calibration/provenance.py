"""The provenance of a generation or a figure: the versions of packages, and the machine."""

from engines.device.memory import total_bytes
from engines.device.processor import processor_name
from engines.device.runtimes import package_versions


def versions() -> dict[str, str]:
    """The versions of the packages that shape a generation."""
    names = ("attune", "torch", "onnx", "onnxruntime", "llama-cpp-python", "faster-whisper")
    return package_versions(names, absent="not installed as a distribution")


def describe_machine() -> str:
    """The processor, cores, memory and GPU of this machine, in one line."""
    import torch  # a round's judge asks for versions alone, and opens no torch

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return f"{processor_name()}, {total_bytes() / 2**30:.0f} GiB, {gpu}"


def peak_allocated_bytes() -> int | None:
    """The peak memory of tensors on a GPU; None without one."""
    import torch  # as above

    return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None
