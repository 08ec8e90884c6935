"""The command line: reads settings, talks to the daemon, prints."""
