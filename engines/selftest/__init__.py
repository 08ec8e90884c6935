"""Every claim about the machine, tried."""
