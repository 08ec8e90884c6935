"""Which engines compute on the GPU: only those that did, with these packages, since the machine started."""

import json
from pathlib import Path

import pytest

from engines.runtimes import LANGUAGE_MODEL, TRANSCRIBER, Trial, keep_runtimes, read_runtimes, runtimes_path

TRIALS = [Trial(claim=LANGUAGE_MODEL, held=True), Trial(claim=TRANSCRIBER, held=False, note="built without CUDA")]


def test_what_was_tried_is_kept(tmp_path: Path) -> None:
    path = runtimes_path(tmp_path)
    assert read_runtimes(path) is None
    kept = keep_runtimes(path, TRIALS)
    assert read_runtimes(path) == kept
    assert (kept.on_gpu(LANGUAGE_MODEL), kept.on_gpu(TRANSCRIBER), kept.on_gpu("nothing")) == (True, False, False)
    assert (kept.why(TRANSCRIBER), kept.why("nothing")) == ("built without CUDA", "it was not tried yet")


@pytest.mark.parametrize("change", [{"boot": "another"}, {"versions": {"llama-cpp-python": "0", "ctranslate2": "0"}}, {"odd": 1}])
def test_after_a_restart_or_another_package_nothing_is_known(tmp_path: Path, change: dict[str, object]) -> None:
    path = runtimes_path(tmp_path)
    keep_runtimes(path, TRIALS)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert read_runtimes(path) is None
