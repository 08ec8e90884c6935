"""Finds out which instruction sets this CPU really runs, and prints llama.cpp's CMake flags. Needs
only a C compiler.

What a virtual machine lists and what it runs differ (most often for AMX), and a library built by
the list dies with an illegal instruction at its first prompt. So each set is tried: a program that
uses it is compiled and run, and its result checked. Run as `python -m engines.device.cpu_features`;
`make setup` does so before any package is installed. With `--portable` the flags are for packages,
which run on other machines.
"""

import platform
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ..errors import AttuneError

_RUN_SECONDS = 30.0


@dataclass(frozen=True)
class Probe:
    """A program that shows whether the CPU runs one of ggml's instruction-set options."""

    option: str
    """ggml's CMake option, without the prefix GGML_."""
    compiler_flags: tuple[str, ...]
    body: str
    """C statements that set `int result`; `seed` is an int of value 1 that the compiler cannot
    know."""
    expected: int


# AMX is left out on purpose: nothing that Attune runs gains enough from it to trust it.
PROBES = (
    Probe(
        "AVX2",
        ("-mavx", "-mavx2"),
        "int out[8]; _mm256_storeu_si256((__m256i *)out, _mm256_add_epi32(_mm256_set1_epi32(seed),"
        " _mm256_set1_epi32(41)));result = out[7];",
        42,
    ),
    Probe(
        "FMA",
        ("-mavx", "-mfma"),
        "float out[8]; __m256 x = _mm256_set1_ps((float)seed + 5.0f); _mm256_storeu_ps(out,"
        " _mm256_fmadd_ps(x, x, x));result = (int)out[7];",
        42,
    ),
    Probe(
        "F16C",
        ("-mavx", "-mf16c"),
        "float out[8]; __m128i half = _mm256_cvtps_ph(_mm256_set1_ps((float)seed + 41.0f), 0);"
        "_mm256_storeu_ps(out, _mm256_cvtph_ps(half)); result = (int)out[7];",
        42,
    ),
    Probe("BMI2", ("-mbmi2",), "result = (int)_pdep_u32((unsigned)seed * 7u, 0x2au);", 42),
    Probe(
        "AVX512",
        ("-mavx512f", "-mavx512cd", "-mavx512bw", "-mavx512dq", "-mavx512vl"),
        "int out[16]; __m512i x = _mm512_mullo_epi32(_mm512_set1_epi32(seed + 5),"
        " _mm512_set1_epi32(7));x = _mm512_add_epi8(x, _mm512_setzero_si512()); x ="
        " _mm512_lzcnt_epi32(x);x = _mm512_or_si512(x,"
        " _mm512_cvtps_epi64(_mm256_setzero_ps()));__m256i low ="
        " _mm256_mask_mov_epi32(_mm512_castsi512_si256(x), 0xff, _mm512_extracti32x8_epi32(x,"
        " 1));_mm512_storeu_si512(out, _mm512_castsi256_si512(low)); result = out[7];",
        26,
    ),
    Probe(
        "AVX512_VNNI",
        ("-mavx512f", "-mavx512vnni"),
        "int out[16]; __m512i sum = _mm512_set1_epi32(seed * 38);_mm512_storeu_si512(out,"
        " _mm512_dpbusd_epi32(sum, _mm512_set1_epi8(1), _mm512_set1_epi8(1))); result = out[15];",
        42,
    ),
)
_PROGRAM = """
#include <immintrin.h>
#include <stdio.h>
int main(int argc, char **argv) {{
    (void)argv;
    volatile int seed_source = argc;
    int seed = seed_source, result = 0;
    {body}
    printf("%d\\n", result);
    return 0;
}}
"""


def runs(probe: Probe) -> bool:
    """Whether the program of `probe` compiles here, survives, and computes the expected result.

    Raises FileNotFoundError where there is no C compiler.
    """
    with tempfile.TemporaryDirectory(prefix="attune-cpu-") as folder:
        source, program = Path(folder) / "probe.c", Path(folder) / "probe"
        source.write_text(_PROGRAM.format(body=probe.body))
        compiler = ["cc", "-O0", *probe.compiler_flags, "-o", str(program), str(source)]
        if subprocess.run(compiler, capture_output=True, check=False).returncode != 0:
            return False
        done = subprocess.run(
            [str(program)], capture_output=True, text=True, timeout=_RUN_SECONDS, check=False
        )
        return done.returncode == 0 and done.stdout.strip() == str(probe.expected)


def cmake_args() -> str:
    """The CMAKE_ARGS for a build of llama.cpp that runs on this machine. Raises FileNotFoundError
    where there is no C compiler."""
    if platform.machine() not in ("x86_64", "AMD64"):
        # Arm: the compiler's own detection is right, and there is no AMX to be fooled by
        return "-DGGML_NATIVE=ON"
    with ThreadPoolExecutor() as pool:
        usable = {
            probe.option: works for probe, works in zip(PROBES, pool.map(runs, PROBES), strict=True)
        }
    usable["AVX512_VNNI"] &= usable["AVX512"]
    # AVX is set with AVX2: on its own ggml turns it on by default, and there is no x86 CPU with
    # AVX2 and without AVX.
    usable["AVX"] = usable["AVX2"]
    return " ".join(
        [
            "-DGGML_NATIVE=OFF",
            *(
                f"-DGGML_{name}={'ON' if works else 'OFF'}"
                for name, works in sorted(usable.items())
            ),
        ]
    )


def portable_cmake_args() -> str:
    """The CMAKE_ARGS for a build of llama.cpp that runs on every machine that Attune supports: an
    Orin (Cortex-A78AE), and x86-64 with AVX2.

    Needs no compiler. Raises AttuneError for another architecture.
    """
    if platform.machine() in ("aarch64", "arm64"):
        return "-DGGML_NATIVE=OFF -DGGML_CPU_ARM_ARCH=armv8.2-a+dotprod+fp16"
    if platform.machine() in ("x86_64", "AMD64"):
        floor = ("AVX", "AVX2", "BMI2", "F16C", "FMA")
        return " ".join(
            ["-DGGML_NATIVE=OFF", *(f"-DGGML_{name}=ON" for name in floor), "-DGGML_AVX512=OFF"]
        )
    raise AttuneError(
        f"there are no packages of Attune for {platform.machine()}, only for x86_64 and aarch64"
    )


if __name__ == "__main__":
    try:
        print(portable_cmake_args() if sys.argv[1:] == ["--portable"] else cmake_args())
    except AttuneError as error:
        sys.exit(f"attune: {error}")
    except FileNotFoundError:
        sys.exit("attune: there is no C compiler (cc); run `apt-get install build-essential`")
