"""A job that the command line starts reads what is stored, and its own file can be read by nobody
else: it names recordings, and what is said in them."""

from contextlib import closing
from pathlib import Path

import pytest

from daemon.cli.engines import run_child
from daemon.config.installation_key import protect_state, share_keys
from daemon.store.store import Store
from engines.encryption.files import key_id_of, read_file
from engines.errors import AttuneError
from engines.jobs.calibration_jobs import PrecisionJob
from engines.jobs.messages import Example
from tests.support.consent import agree
from tests.support.fake_child import no_models
from tests.support.fakes import tone
from tests.support.running_daemon import make_settings


def test_it_gets_the_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = make_settings(tmp_path)
    agree(settings.state_dir)
    monkeypatch.setenv("ATTUNE__STATE_DIR", str(settings.state_dir))
    monkeypatch.setenv("ATTUNE__CACHE_DIR", str(settings.cache_dir))
    protect_state(settings)
    with closing(Store(settings.state_dir)) as store:
        audio = store.add_utterance(tone(1.0, 300), "enrolled").audio
    example = Example(
        id="a", audio=audio, text="my xylophone", origin="enrolled", seconds=1.0, holdout=False
    )
    folder = tmp_path / "cache" / "precision"
    job = PrecisionJob(
        folder=folder,
        engines=no_models(tmp_path / "models"),
        generation=tmp_path / "none",
        examples=[example],
        threads=1,
    )
    share_keys(settings, folder / "job.json")
    with pytest.raises(AttuneError, match=r"encoder\.onnx|model\.bin"):  # it has read the job
        run_child(job, folder / "job.json")
    assert key_id_of(folder / "job.json") is not None
    assert b"xylophone" in read_file(folder / "job.json")
