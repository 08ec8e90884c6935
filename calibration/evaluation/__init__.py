"""Scores, the judge of what is heard and answered, and the fits of confidence and rescoring."""
