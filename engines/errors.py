"""The exceptions that a user is meant to read. Everything else that is raised is a defect."""


class AttuneError(Exception):
    """What is wrong, where, and what to do about it, in one line; the command line prints it and exits with status 1."""


class RoundRefusedError(AttuneError):
    """Why a round is not worth going on with: nothing failed, and another attempt would come to the same."""
