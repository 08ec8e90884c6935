"""Finds out what a sentence asks for."""
