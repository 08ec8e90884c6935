"""A file for each kind of job that is not a round's stage."""
