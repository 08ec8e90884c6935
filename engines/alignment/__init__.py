"""Turns the encoder's frames into soft tokens: the projector, the n-best list of sentences, and the
confidence in the result."""
