"""Trains a personal recogniser: low-rank changes to the weights of Whisper."""
