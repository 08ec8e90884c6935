"""Whether a candidate takes over, is tried in shadow, or is rolled back."""
