"""From a sound device or a recording to segments of speech."""
