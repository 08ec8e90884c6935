"""Replies said aloud: from pieces of text to a loudspeaker."""
