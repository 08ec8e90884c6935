"""Voiceprints: who has spoken, by the sound of the voice. They tell people apart; they are no
lock."""
