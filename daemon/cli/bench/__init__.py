"""`attune bench`: measurements against known texts."""
