"""Work in a child process: started, watched, paused, killed."""
