"""The stages of a personal round, each a process of its own."""
