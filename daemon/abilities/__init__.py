"""What Attune does by itself, without a language model. One file for each ability."""
