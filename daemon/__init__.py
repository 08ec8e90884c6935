"""The long-running service: capture, conversation, store, idle policy, control socket and command
line. Never loads torch."""

import engines  # noqa: F401 - before any library that it has something to say to
