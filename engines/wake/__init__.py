"""Hears whether somebody calls: ready-made wake words, and phrases of the user's own."""
