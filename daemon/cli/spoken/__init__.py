"""Commands for who talks with Attune: the conversation, voices and the wake word."""
