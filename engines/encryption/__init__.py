"""Files that only the holder of a key can read: the keys, the format, and where such files lie."""
