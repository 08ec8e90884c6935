"""The commands about what Attune keeps of its user."""
