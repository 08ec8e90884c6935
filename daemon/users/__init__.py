"""The people who use Attune, and whose voice was heard."""
