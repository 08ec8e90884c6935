"""Wyoming, the protocol of Home Assistant's voice: hears, answers, speaks, and is called."""
