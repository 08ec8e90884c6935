"""From the encoder's frames to soft tokens: the projector, the sentences that they may be, and how
sure they are."""
