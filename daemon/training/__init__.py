"""When a round runs, with what data, and within which memory."""
