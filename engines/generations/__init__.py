"""What a round leaves on the disk: numbered generations with their cards, and the pointers to
them."""
