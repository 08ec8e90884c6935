"""What happens in the daemon: one type for each kind of event, and the way to those who follow."""
