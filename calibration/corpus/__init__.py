"""Synthetic speech, the texts that it says, and manifests of recordings."""
