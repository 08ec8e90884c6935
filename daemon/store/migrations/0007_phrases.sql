-- The user's personal vocabulary.
CREATE TABLE phrases (
    text TEXT PRIMARY KEY,          -- unlike every other also without regard to case
    weight REAL NOT NULL CHECK (weight >= 0),
    heard_as TEXT NOT NULL,         -- a JSON list: what was heard in recordings of it
    added_at REAL NOT NULL,
    service_at REAL NOT NULL
) STRICT, WITHOUT ROWID;
