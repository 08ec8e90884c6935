"""The exceptions that a user is meant to read, and the one that ends a turn. Everything else that
is raised is a defect."""


class AttuneError(Exception):
    """What is wrong, where, and what to do about it, in one line; the command line prints it and
    exits with status 1."""


class TurnAbandoned(Exception):
    """Nobody waits for the turn that is computed any more. Raised by the callback that long
    computations call between their steps; it is to be let through."""


class RoundRefusedError(AttuneError):
    """Why a round is not worth going on with: nothing failed, and another attempt would come to the
    same."""
