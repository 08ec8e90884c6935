"""HTTP: OpenAI's interface, health and metrics, for the programs that people have already."""
