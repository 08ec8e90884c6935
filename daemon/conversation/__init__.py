"""Turns: from a segment or a text to a reply, and the question back."""
