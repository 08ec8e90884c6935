"""Everything that learns or measures, and the only place for torch. It runs as a child process of
the daemon, job by job."""

import engines  # noqa: F401 - before any library that it has something to say to
