"""What was heard, meant and answered, on the disk: utterances, labels, turns, rounds, and what
keeps them in order."""
