"""A turn waits from the end of its speech to its answer, in whatever order both are told."""

from daemon.events.pending_turns import PendingTurns


def test_a_turn_waits_until_it_is_answered() -> None:
    pending = PendingTurns()
    assert not pending
    pending.begin(1)
    pending.begin(2)
    pending.end(1)
    assert pending
    pending.end(2)
    assert not pending


def test_an_answer_that_was_told_first_is_not_waited_for() -> None:
    pending = PendingTurns()
    pending.end(3)
    pending.begin(3)
    assert not pending
    pending.begin(4)
    assert pending
