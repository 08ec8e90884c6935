"""What runs a model, and the on-disk formats of what it runs. Knows no torch, no SQLite, no HTTP, no configuration files."""
