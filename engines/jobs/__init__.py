"""What the daemon and its child processes tell each other: jobs, reports, footprints, how a child
lives and dies."""
