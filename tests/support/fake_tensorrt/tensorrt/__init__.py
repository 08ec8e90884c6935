"""A stand-in with TensorRT's surface, as far as Attune uses it: a plan is the graph, which ONNX
Runtime runs in host memory.

It keeps what the real one is strict about: plans of other versions are not opened, shapes outside
of the profile are refused, addresses must be set, a logger must be an ILogger. `FAKE_TENSORRT`
makes it misbehave: `version=10.16.2`, `build=fails`, `build=hangs`, `build=dies`, `open=crashes`,
`frames=wrong`, with commas between.
"""

import ctypes
import enum
import os
import signal
import time

import numpy as np
import onnx
import onnxruntime
from google.protobuf.message import DecodeError
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidProtobuf

_ODD = dict(one.split("=") for one in os.environ.get("FAKE_TENSORRT", "").split(",") if one)
__version__ = _ODD.get("version", "10.3.0")
_MAGIC = b"a plan of the stand-in\n"


class NetworkDefinitionCreationFlag(enum.IntEnum):
    EXPLICIT_BATCH = 0
    STRONGLY_TYPED = 1


class MemoryPoolType(enum.Enum):
    WORKSPACE = 0


class BuilderFlag(enum.Enum):
    REFIT = 4


class TensorIOMode(enum.Enum):
    NONE = 0
    INPUT = 1
    OUTPUT = 2


class ILogger:
    class Severity(enum.Enum):
        INTERNAL_ERROR = 0
        ERROR = 1
        WARNING = 2
        INFO = 3
        VERBOSE = 4

    def __init__(self) -> None:
        self._initialised = True


def _complain(logger: ILogger, message: str) -> None:
    assert logger._initialised, "ILogger.__init__ was not called"
    logger.log(ILogger.Severity.ERROR, message)  # type: ignore[attr-defined]


class _Tensor:
    def __init__(self, name: str) -> None:
        self.name = name


class INetworkDefinition:
    def __init__(self) -> None:
        self.graph = b""
        self.input_names: list[str] = []

    def get_input(self, index: int) -> _Tensor:
        return _Tensor(self.input_names[index])


class _ParserError:
    def __init__(self, text: str) -> None:
        self._text = text

    def desc(self) -> str:
        return self._text


class OnnxParser:
    def __init__(self, network: INetworkDefinition, logger: ILogger) -> None:
        self._network = network
        self._logger = logger
        self._errors: list[_ParserError] = []

    @property
    def num_errors(self) -> int:
        return len(self._errors)

    def get_error(self, index: int) -> _ParserError:
        return self._errors[index]

    def parse_from_file(self, path: str) -> bool:
        try:
            model = onnx.load(path)
            onnx.checker.check_model(model)
        except (OSError, ValueError, DecodeError, onnx.checker.ValidationError) as error:
            self._errors.append(_ParserError(str(error).splitlines()[0]))
            return False
        self._network.graph = model.SerializeToString()
        self._network.input_names = [one.name for one in model.graph.input]
        return True


class ITimingCache:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def serialize(self) -> bytes:
        return self._data or f"timings of {__version__}".encode()


class IOptimizationProfile:
    def __init__(self) -> None:
        self.shapes: dict[str, tuple[tuple[int, ...], ...]] = {}

    def set_shape(
        self, name: str, least: tuple[int, ...], usual: tuple[int, ...], most: tuple[int, ...]
    ) -> None:
        self.shapes[name] = (least, usual, most)


class IBuilderConfig:
    def __init__(self) -> None:
        self._cache = ITimingCache(b"")
        self.profiles: list[IOptimizationProfile] = []
        self.pools: dict[MemoryPoolType, int] = {}
        self.flags: set[BuilderFlag] = set()

    def set_flag(self, flag: BuilderFlag) -> None:
        self.flags.add(flag)

    def set_memory_pool_limit(self, pool: MemoryPoolType, pool_size: int) -> None:
        self.pools[pool] = pool_size

    def create_timing_cache(self, serialized_timing_cache: bytes) -> ITimingCache:
        return ITimingCache(bytes(serialized_timing_cache))

    def set_timing_cache(self, cache: ITimingCache, ignore_mismatch: bool) -> bool:
        if (
            not ignore_mismatch
            and cache._data
            and cache._data != f"timings of {__version__}".encode()
        ):
            return False
        self._cache = cache
        return True

    def get_timing_cache(self) -> ITimingCache:
        return self._cache

    def add_optimization_profile(self, profile: IOptimizationProfile) -> int:
        self.profiles.append(profile)
        return len(self.profiles) - 1


class Builder:
    def __init__(self, logger: ILogger) -> None:
        self._logger = logger

    def create_network(self, flags: int = 0) -> INetworkDefinition:
        if not flags & 1 << int(NetworkDefinitionCreationFlag.STRONGLY_TYPED):
            raise AssertionError("the network is not strongly typed")
        return INetworkDefinition()

    def create_builder_config(self) -> IBuilderConfig:
        return IBuilderConfig()

    def create_optimization_profile(self) -> IOptimizationProfile:
        return IOptimizationProfile()

    def build_serialized_network(
        self, network: INetworkDefinition, config: IBuilderConfig
    ) -> bytes | None:
        match _ODD.get("build"):
            case "fails":
                _complain(self._logger, "no tactic fits the workspace")
                return None
            case "hangs":
                time.sleep(3600)
            case "dies":
                os.kill(os.getpid(), signal.SIGKILL)
        assert config.pools[MemoryPoolType.WORKSPACE] > 0
        [profile] = config.profiles
        least, _, most = profile.shapes[network.input_names[0]]
        refits = int(BuilderFlag.REFIT in config.flags)
        about = f"{__version__} {least[2]} {most[2]} {refits}\n"
        return _MAGIC + about.encode() + network.graph


class Runtime:
    def __init__(self, logger: ILogger) -> None:
        self._logger = logger

    def deserialize_cuda_engine(self, serialized_engine: bytes) -> "ICudaEngine | None":
        if _ODD.get("open") == "crashes":
            os.kill(os.getpid(), signal.SIGSEGV)
        data = bytes(serialized_engine)
        first, _, rest = data.removeprefix(_MAGIC).partition(b"\n")
        version, *limits = first.decode("utf-8", "replace").split()
        if not data.startswith(_MAGIC) or version != __version__:
            _complain(self._logger, f"the plan was serialized by {version}, this is {__version__}")
            return None
        try:
            return ICudaEngine(rest, *map(int, limits))
        except (TypeError, ValueError, InvalidProtobuf, Fail):
            _complain(self._logger, "the plan is cut short")
            return None


class ICudaEngine:
    def __init__(self, graph: bytes, least: int, most: int, refits: int) -> None:
        self.refittable = bool(refits)
        self._graph = graph
        self._open(graph)
        self._limits = (least, most)

    def _open(self, graph: bytes) -> None:
        self._session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        self._tensors = [*self._session.get_inputs(), *self._session.get_outputs()]
        self.num_io_tensors = len(self._tensors)

    def get_tensor_name(self, index: int) -> str:
        return str(self._tensors[index].name)

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode.INPUT if name == self._tensors[0].name else TensorIOMode.OUTPUT

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        [found] = [one for one in self._tensors if one.name == name]
        return tuple(size if isinstance(size, int) else -1 for size in found.shape)

    def create_execution_context(self) -> "IExecutionContext":
        return IExecutionContext(self)


class Refitter:
    def __init__(self, engine: ICudaEngine, logger: ILogger) -> None:
        assert engine.refittable, "the plan was built without REFIT"
        self._engine = engine
        self._logger = logger
        self._graph = b""

    def refit_cuda_engine(self) -> bool:
        if not self._graph:
            _complain(self._logger, "there are weights without values")
            return False
        self._engine._open(self._graph)
        return True


class OnnxParserRefitter:
    def __init__(self, refitter: Refitter, logger: ILogger) -> None:
        self._refitter = refitter
        self._logger = logger
        self._errors: list[_ParserError] = []

    @property
    def num_errors(self) -> int:
        return len(self._errors)

    def get_error(self, index: int) -> _ParserError:
        return self._errors[index]

    def refit_from_file(self, path: str) -> bool:
        own = onnx.load_from_string(self._refitter._engine._graph)
        try:
            other = onnx.load(path)
        except (OSError, DecodeError) as error:
            self._errors.append(_ParserError(str(error).splitlines()[0]))
            return False
        shapes = [
            {one.name: (one.data_type, *one.dims) for one in model.graph.initializer}
            for model in (own, other)
        ]
        if shapes[0] != shapes[1]:
            self._errors.append(_ParserError("the weights are those of another graph"))
            return False
        self._refitter._graph = other.SerializeToString()
        return True


class IExecutionContext:
    def __init__(self, engine: ICudaEngine) -> None:
        self._engine = engine
        self._addresses: dict[str, int] = {}
        self._shape: tuple[int, ...] = ()

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        least, most = self._engine._limits
        if not least <= shape[2] <= most:
            return False
        self._shape = tuple(shape)
        return True

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self._addresses[name] = memory
        return True

    def execute_async_v3(self, stream_handle: int) -> bool:
        mel, frames = (one.name for one in self._engine._tensors)
        given = np.ctypeslib.as_array(
            (ctypes.c_float * int(np.prod(self._shape))).from_address(self._addresses[mel])
        )
        [made] = self._engine._session.run(None, {mel: given.reshape(self._shape)})
        if _ODD.get("frames") == "wrong":
            made = np.roll(made, 7, axis=2)
        flat = np.ascontiguousarray(made, np.float32)
        ctypes.memmove(self._addresses[frames], flat.ctypes.data, flat.nbytes)
        return True
