"""Everything that learns or measures, and the only place for torch. Runs as a child process of the daemon, job by job."""
