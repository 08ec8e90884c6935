"""What is kept of the user, and who is served."""
