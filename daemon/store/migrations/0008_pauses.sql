-- The longest silence within what was said, by which a person's end of a turn is told from a pause.
ALTER TABLE utterances ADD COLUMN longest_pause_seconds REAL;  -- NULL: not measured
