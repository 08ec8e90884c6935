"""Which models are open, which generation and route answer, and how another comes to."""
