"""The paths that OpenAI's clients use."""
