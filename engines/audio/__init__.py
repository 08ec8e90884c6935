"""From recordings and sound to segments of speech, and what the encoder reads of them."""
