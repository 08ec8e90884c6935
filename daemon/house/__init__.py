"""The house: Home Assistant, its rooms and devices, through its own interface."""
