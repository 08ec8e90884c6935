"""What the user has allowed to be kept, and for how long nothing is."""
