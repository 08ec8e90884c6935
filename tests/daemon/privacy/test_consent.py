"""Whether anything is kept is the user's decision, from the first start on."""

import shutil
from contextlib import closing
from pathlib import Path

import pytest

from daemon.privacy.consent import Consent, Decision
from daemon.store.schema import MIGRATIONS, migrate
from daemon.store.store import DATABASE, Store
from tests.support.simulated_time import Time


def test_nobody_has_agreed_until_somebody_does(tmp_path: Path) -> None:
    time = Time()
    with closing(Store(tmp_path, time.clocks)) as store:
        consent = Consent(store)
        assert (consent.to_be_asked, consent.agreed) == (True, False)
        assert consent.decide(True, "voice") == Decision(True, "voice", time.wall)
        assert (consent.to_be_asked, consent.agreed) == (False, True)
    with closing(Store(tmp_path, time.clocks)) as store:
        consent = Consent(store)
        time.passes(60)
        consent.decide(False, "command line")
        assert not consent.agreed
        assert Consent(store).last == Decision(False, "command line", time.wall)
        kept = store.rows("SELECT agreed, by FROM consent ORDER BY id")
        assert kept == [(1, "voice"), (0, "command line")], "what was decided before stays known"


def test_the_question_is_put_once(tmp_path: Path) -> None:
    with closing(Store(tmp_path)) as store:
        Consent(store).note_asked()
        Consent(store).note_asked()
    with closing(Store(tmp_path)) as store:
        assert not Consent(store).to_be_asked
        assert Consent(store).last is None


def test_who_does_not_agree_is_heeded_even_if_that_cannot_be_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(Store(tmp_path)) as store:
        consent = Consent(store)
        consent.decide(True, "page")

        def fails() -> None:
            raise OSError("the disk is full")

        with monkeypatch.context() as full:
            full.setattr(store, "writing", fails)
            with pytest.raises(OSError, match="full"):
                consent.decide(False, "page")
            assert not consent.agreed


@pytest.mark.parametrize(
    ("origin", "agreed"), [("enrolled", True), ("corrected", True), ("recognised", False)]
)
def test_of_an_earlier_release_who_enrolled_goes_on_and_who_only_spoke_is_asked(
    tmp_path: Path, origin: str, agreed: bool
) -> None:
    (tmp_path / "migrations").mkdir()
    for number in range(1, 10):
        [step] = MIGRATIONS.glob(f"{number:04d}_*.sql")
        shutil.copy(step, tmp_path / "migrations")
    with closing(migrate(tmp_path / DATABASE, tmp_path / "migrations")) as database, database:
        database.execute(
            "INSERT INTO utterances (id, created_at, seconds, source, audio, holdout)"
            " VALUES ('a', 100.0, 1.0, 'microphone', 'a.flac', 0)"
        )
        database.execute(
            "INSERT INTO labels (utterance, text, origin, confidence, created_at)"
            " VALUES ('a', 'something', ?, 1.0, 100.0)",
            (origin,),
        )
    with closing(Store(tmp_path)) as store:
        last = Consent(store).last
        assert (last is not None and last.agreed) is agreed
        if last is not None:
            assert last.by == "enrolment with an earlier release"
