"""Voices: from text to sound."""
