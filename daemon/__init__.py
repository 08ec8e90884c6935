"""The long-running service: capture, conversation, store, idle policy, control socket and command line. Never loads torch."""
