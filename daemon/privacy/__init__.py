"""What the user has allowed to be kept, and what is forgotten, with all that was made of it."""
