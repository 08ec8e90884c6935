"""`attune demo`: shows the whole loop on speakers that it makes itself."""
