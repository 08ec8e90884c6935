"""Tools of other programs, which a language model may call: where they are, which are allowed,
whether the model chooses them well enough, and what they answer."""
