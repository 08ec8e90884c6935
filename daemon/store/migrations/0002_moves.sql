CREATE TABLE moves (
    id INTEGER PRIMARY KEY,
    at REAL NOT NULL,               -- seconds since the epoch
    generation INTEGER NOT NULL,    -- what was served from then on
    reason TEXT NOT NULL
) STRICT;
