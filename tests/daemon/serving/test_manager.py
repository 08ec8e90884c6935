"""Models and pointers are changed by one thread at a time, and what a move depends on is looked at
when it is made."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import pytest

from daemon.attention import Attention
from daemon.config.settings import ConversationSettings, Settings
from daemon.conversation.conversation import Conversation
from daemon.events.bus import Events
from daemon.promotion.regression import look_back
from daemon.serving.manager import ModelManager
from daemon.serving.models import ServingModels
from daemon.serving.moves import Moves
from daemon.store.personal_vocabulary import PersonalVocabulary
from daemon.store.records import Use
from daemon.store.store import Store
from daemon.users.users import Users
from engines.errors import AttuneError
from engines.generations.card import Card
from engines.generations.folder import Generation, write_generation
from engines.generations.pointers import current, previous, promote, shadow
from engines.types import Float32, Transcript
from tests.support.fakes import (
    EchoLanguageModel,
    FakeTranscriber,
    PitchRoute,
    fake_models,
    tone,
    transcribe,
    write_base,
)
from tests.support.running_daemon import make_settings

DEADLINE_SECONDS = 120.0
A_MOMENT_SECONDS = 0.2
"""For what must not happen: long enough to happen wherever nothing holds it back."""


@dataclass
class House:
    """What is served, and hooks into what a slow model would be doing."""

    settings: Settings
    store: Store
    while_opening: Callable[[Generation], None] = lambda generation: None
    while_transcribing: Callable[[], None] = lambda: None
    unservable: set[int] = field(default_factory=set)
    closed: list[threading.Event] = field(default_factory=list)
    language_model: EchoLanguageModel = field(default_factory=EchoLanguageModel)
    manager: ModelManager = field(init=False)

    def __post_init__(self) -> None:
        self.manager = ModelManager(
            self.settings,
            self.open_models,
            self.store,
            Users(self.store),
            PersonalVocabulary(self.store),
            Events(),
        )

    @property
    def root(self) -> Path:
        return self.settings.generations

    def open_models(self, settings: Settings) -> ServingModels:
        closed = threading.Event()
        self.closed.append(closed)

        def aligned(generation: Generation, _unsure: bool) -> PitchRoute:
            assert not closed.is_set(), "a route of closed models"
            if generation.number in self.unservable:
                raise AttuneError(
                    f"generation {generation.number:04d} was made for another language model"
                )
            self.while_opening(generation)
            return PitchRoute("aligned")

        def heard(samples: Float32) -> Transcript:
            self.while_transcribing()
            assert not closed.is_set(), "closed models hear"
            return transcribe(samples)

        voice = replace(fake_models(settings), language_model=self.language_model)
        return replace(
            voice,
            aligned=aligned,
            transcriber=lambda _generation: FakeTranscriber(heard),
            close=closed.set,
        )

    def pointed(self) -> tuple[int | None, int | None]:
        return tuple(
            found.number if found else None for found in (current(self.root), previous(self.root))
        )  # type: ignore[return-value]


def write(root: Path, number: int, parent: int | None) -> Generation:
    empty = root.parent / "empty"
    card = Card(number=number, parent=parent, created_at="", recipe="test")
    return write_generation(
        root, number, card, {"projector.onnx": empty, "projector.safetensors": empty}
    )


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    settings = make_settings(tmp_path, conversation__route="aligned")
    write_base(settings.generations)
    for number in (1, 2, 3):
        write(settings.generations, number, number - 1)
    promote(settings.generations, 0)
    promote(settings.generations, 1)
    store = Store(settings.state_dir)
    yield House(settings, store)
    store.close()


@contextmanager
def beside(act: Callable[[], object]) -> Iterator[threading.Thread]:
    """`act` in a thread of its own, which has ended when the `with` ends."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            act()
        except BaseException as error:  # noqa: BLE001 - raised again where the test sees it
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    yield thread
    thread.join(DEADLINE_SECONDS)
    assert not thread.is_alive(), "it waits for ever"
    if raised:
        raise raised[0]


class TestModels:
    @pytest.mark.parametrize("how", ["unload", "close", "reopen"])
    def test_they_are_not_closed_while_a_promotion_by_hand_opens_routes_on_them(
        self, house: House, how: str
    ) -> None:
        opening, go_on = threading.Event(), threading.Event()

        def wait(_: Generation) -> None:
            opening.set()
            assert go_on.wait(DEADLINE_SECONDS)

        house.while_opening = wait
        with beside(lambda: house.manager.moves.promote(2, "by hand")):
            assert opening.wait(DEADLINE_SECONDS)
            with beside(getattr(house.manager, how)):
                assert not house.closed[0].wait(A_MOMENT_SECONDS)
                go_on.set()
        assert house.closed[0].is_set()
        assert house.pointed() == (2, 1)
        assert house.manager.open is (how == "reopen")
        assert house.manager.routes.generation == 2

    def test_a_promotion_while_they_are_closed_is_served_once_they_are_open(
        self, house: House
    ) -> None:
        house.manager.unload()
        house.manager.moves.promote(2, "by hand")
        with house.manager.lender.lease() as models:
            assert models.loaded.generation == 2

    @pytest.mark.parametrize("how", ["unload", "close", "reopen"])
    def test_they_are_not_closed_while_they_transcribe(self, house: House, how: str) -> None:
        hearing, go_on = threading.Event(), threading.Event()

        def wait() -> None:
            hearing.set()
            assert go_on.wait(DEADLINE_SECONDS)

        house.while_transcribing = wait
        with beside(lambda: house.manager.transcribe(tone(1.0))):
            assert hearing.wait(DEADLINE_SECONDS)
            with beside(getattr(house.manager, how)):
                assert not house.closed[0].wait(A_MOMENT_SECONDS)
                go_on.set()
        assert house.closed[0].is_set()

    @pytest.mark.parametrize("how", ["unload", "close", "reopen"])
    def test_they_are_not_closed_while_a_generation_that_is_not_served_hears(
        self, house: House, how: str
    ) -> None:
        with ExitStack() as stack, house.manager.lender.lease(wake=False):
            house.manager.load_route(write(house.root, 9, 1))
            stack.enter_context(beside(getattr(house.manager, how)))
            assert not house.closed[0].wait(A_MOMENT_SECONDS)
            assert house.manager.load_route(write(house.root, 8, 1)).route.name == "aligned"
        assert house.closed[0].is_set()

    def test_a_turn_that_wakes_them_and_a_promotion_by_hand_do_not_wait_for_each_other(
        self, house: House
    ) -> None:
        """A round waits for a turn to end before it closes the models; a promotion waits for the
        round, a turn for both."""
        heard: list[int | None] = []

        def turn() -> None:
            with house.manager.lender.lease() as models:
                heard.append(models.loaded.generation)

        with ExitStack() as stack, house.manager.lender.lease():
            stack.enter_context(beside(house.manager.unload))
            assert not house.closed[0].wait(A_MOMENT_SECONDS)
            stack.enter_context(beside(lambda: house.manager.moves.promote(2, "by hand")))
            stack.enter_context(beside(turn))
        assert heard in ([1], [2]), "before the promotion, or after it"
        assert house.pointed() == (2, 1)
        with house.manager.lender.lease() as models:
            assert models.loaded.generation == 2

    def test_they_are_asked_for_while_nobody_is_kept_from_using_them(self, house: House) -> None:
        """Who opens them may have to wait for who closes them, who waits for whoever uses them."""

        def awake() -> None:
            house.manager.load()
            for act in (house.manager.unload, house.manager.load):
                with beside(act):
                    pass

        house.manager.lender.wake_by(awake)
        house.manager.unload()
        with house.manager.lender.lease() as models:
            assert models.loaded.generation == 1

    def test_models_that_cannot_be_opened_again_are_one_line_for_the_turn(
        self, house: House
    ) -> None:
        house.manager.lender.wake_by(lambda: None)
        house.manager.unload()
        conversation = Conversation(
            house.manager.lender,
            house.store,
            Events(),
            attention := Attention(),
            ConversationSettings(max_reply_tokens=20),
            keeps_audio=True,
        )
        with pytest.raises(AttuneError, match="could not be opened again"):
            list(conversation.ask("hello", "text"))
        assert not attention.needed
        conversation.close()


class TestMoves:
    def test_a_rollback_goes_by_what_is_current_then(
        self, house: House, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Generation 2 turned out worse; a round promotes 3 while that is found out, so `previous`
        is 2 itself."""
        house.manager.moves.promote(2, "its round ended")

        def use(number: int, user: int) -> tuple[Use, Use]:
            assert number == 2
            house.manager.moves.promote(3, "its round ended")
            return Use(20, 20), Use(20, 0)

        monkeypatch.setattr(house.store.history, "use", use)
        look_back(house.manager, house.store, Events())
        assert house.pointed() == (3, 2)
        assert [move.generation for move in house.store.history.last_moves(9)] == [3, 2]

    def test_two_corrections_at_once_roll_back_once(
        self, house: House, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        house.manager.moves.promote(2, "its round ended")
        both = threading.Barrier(2)

        def use(number: int, user: int) -> tuple[Use, Use]:
            both.wait(DEADLINE_SECONDS)
            return Use(20, 20), Use(20, 0)

        monkeypatch.setattr(house.store.history, "use", use)
        look = partial(look_back, house.manager, house.store, Events())
        with beside(look), beside(look):
            pass
        assert house.pointed() == (1, 1)
        assert [move.generation for move in house.store.history.last_moves(9)] == [1, 2]

    def test_a_candidate_does_not_take_over_what_it_was_not_judged_against(
        self, house: House
    ) -> None:
        candidate = write(house.root, 7, parent=1)
        house.manager.moves.promote(2, "by hand")
        for take in (house.manager.moves.take_over, house.manager.moves.leave_shadow_to_serve):
            outcome, reason = take(candidate, "its round ended")
            assert outcome == "refused"
            assert reason.startswith("refused: it")
        assert house.manager.moves.put_in_shadow(candidate)[0] == "refused"
        assert house.pointed() == (2, 1)
        assert shadow(house.root) is None

    def test_a_candidate_takes_over_only_out_of_the_shadow_that_it_is_in(
        self, house: House
    ) -> None:
        first, second = write(house.root, 7, parent=1), write(house.root, 8, parent=1)
        moves = house.manager.moves
        assert moves.put_in_shadow(first)[0] == moves.put_in_shadow(second)[0] == "shadowed"
        assert moves.leave_shadow_to_serve(first, "its time was over")[0] == "refused"
        moves.leave_shadow(7)
        found = shadow(house.root)
        assert found is not None
        assert found.number == 8, "who came in its place stays"
        assert moves.leave_shadow_to_serve(second, "its time was over") == ("promoted", "")
        moves.leave_shadow(8)
        assert shadow(house.root) is None
        assert house.pointed() == (8, 1)

    def test_what_cannot_be_served_leaves_both_pointers_and_what_is_served(
        self, house: House
    ) -> None:
        house.unservable = {2}
        with pytest.raises(
            AttuneError,
            match="0002 cannot be served, so the old one stays: .* another language model",
        ):
            house.manager.moves.promote(2, "by hand")
        assert house.pointed() == (1, 0)
        assert house.manager.routes.generation == 1
        candidate = write(house.root, 7, parent=1)
        house.unservable = {7}
        assert house.manager.moves.take_over(candidate, "its round ended")[0] == "failed"
        assert house.pointed() == (1, 0)
        assert house.manager.moves.roll_back("by hand").number == 0
        assert [move.generation for move in house.store.history.last_moves(9)] == [0]

    def test_what_nothing_pointed_to_before_is_so_again(self, house: House) -> None:
        for pointer in ("current", "previous"):
            (house.root.parent / pointer).unlink()
        house.unservable = {2}
        with pytest.raises(AttuneError, match="the old one stays"):
            house.manager.moves.promote(2, "by hand")
        assert house.pointed() == (None, None)

    def test_one_that_was_current_when_a_daemon_was_killed_and_cannot_be_served_gives_way(
        self, house: House
    ) -> None:
        candidate = write(house.root, 7, parent=1)
        promote(house.root, 7)
        house.unservable = {7}
        assert house.manager.moves.take_over(candidate, "its round ended")[0] == "failed"
        assert house.pointed()[0] == 1
        assert house.manager.routes.generation == 1

    def test_a_generation_that_was_promoted_meanwhile_is_not_dropped(self, house: House) -> None:
        moves = house.manager.moves
        assert 3 not in moves.pointed_to()
        moves.promote(3, "by hand")
        assert not moves.drop(3)
        assert moves.drop(2)
        assert not (house.root / "0002").exists()
        assert house.manager.routes.generation == 3

    def test_moves_of_many_threads_come_one_after_the_other(self, tmp_path: Path) -> None:
        """Each sees as previous what was current when it began, and no one's move is served after
        it was moved away."""
        root = tmp_path / "state" / "generations"
        write_base(root)
        for number in range(1, 9):
            write(root, number, 0)
        promote(root, 0)
        inside = threading.Lock()
        served: list[int] = []

        def serve(generation: Generation) -> None:
            assert inside.acquire(blocking=False), "two moves at a time"
            found = current(root)
            assert found is not None
            assert found.number == generation.number
            served.append(generation.number)
            inside.release()

        moves = Moves(root, serve)
        together = threading.Barrier(8)

        def move(number: int) -> None:
            together.wait(DEADLINE_SECONDS)
            moves.promote(number, "by hand")

        threads = [threading.Thread(target=move, args=(number,)) for number in range(1, 9)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(DEADLINE_SECONDS)
        assert sorted(served) == list(range(1, 9))
        before = previous(root)
        assert before is not None
        assert before.number == served[-2]
