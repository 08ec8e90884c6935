"""Reading one tensor straight from a GGUF file."""

from pathlib import Path

import gguf
import numpy as np
import pytest

from engines.errors import AttuneError
from engines.llm.gguf_file import map_tensor, map_tensors

ROWS, WIDTH = 12, 64


def write_table(path: Path, kind: gguf.GGMLQuantizationType, seed: int = 0) -> np.ndarray:
    """Write a [ROWS, WIDTH] table behind another tensor; returns what it is after quantization."""
    table = np.random.default_rng(seed).standard_normal((ROWS, WIDTH)).astype(np.float32)
    blocks = gguf.quants.quantize(table, kind)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tensor("other.weight", np.ones((3, 5), np.float32))
    writer.add_tensor("token_embd.weight", blocks, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return gguf.quants.dequantize(blocks, kind)


@pytest.mark.parametrize("name", ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_1"])
def test_rows_are_the_reference_dequantization(tmp_path: Path, name: str) -> None:
    path = tmp_path / "table.gguf"
    expected = write_table(path, gguf.GGMLQuantizationType[name])
    table = map_tensor(path, "token_embd.weight", ROWS)
    assert np.array_equal(table.rows(np.array([3, 0, 3, ROWS - 1])), expected[[3, 0, 3, ROWS - 1]])
    assert np.array_equal(table.rows(slice(2, 5)), expected[2:5])
    assert table.rows(np.array([], np.int64)).shape == (0, WIDTH)
    assert table.rows(slice(0, 2)).dtype == np.float32


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "table.gguf"
    write_table(path, gguf.GGMLQuantizationType.F32)
    content = path.read_bytes()
    for size in (len(content) - 1, len(content) // 2, 40, 3, 0):
        path.write_bytes(content[:size])
        with pytest.raises(AttuneError, match=r"table\.gguf is (truncated|not a GGUF file)"):
            map_tensor(path, "token_embd.weight", ROWS)


def test_a_missing_file_a_missing_tensor_and_a_table_of_another_size(tmp_path: Path) -> None:
    path = tmp_path / "table.gguf"
    with pytest.raises(AttuneError, match="is not a GGUF file"):
        map_tensor(path, "token_embd.weight", ROWS)
    write_table(path, gguf.GGMLQuantizationType.F32)
    with pytest.raises(AttuneError, match="has no tensor absent"):
        map_tensor(path, "absent", ROWS)
    for rows in (ROWS + 1, 5, 0):
        with pytest.raises(AttuneError, match=f"is not of {rows} rows"):
            map_tensor(path, "token_embd.weight", rows)


def test_a_file_is_mapped_once_however_many_ask_and_let_go_of(tmp_path: Path) -> None:
    path = tmp_path / "table.gguf"
    first = write_table(path, gguf.GGMLQuantizationType.F32)

    def mappings() -> int:
        return Path("/proc/self/maps").read_text().count(str(path))

    table, every = map_tensor(path, "token_embd.weight", ROWS), map_tensors(path)
    assert every.keys() == {"other.weight", "token_embd.weight"}
    assert mappings() == 1
    path.unlink()
    second = write_table(path, gguf.GGMLQuantizationType.F32, seed=1)
    assert np.array_equal(map_tensor(path, "token_embd.weight", ROWS).rows(slice(0, ROWS)), second)
    assert np.array_equal(table.rows(slice(0, ROWS)), first)
    del table, every
    assert mappings() == 0
