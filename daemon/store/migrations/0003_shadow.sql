-- A round may end with its candidate in shadow; what became of it there takes the place of that outcome.
CREATE TABLE rounds_anew (
    id INTEGER PRIMARY KEY,
    started_at REAL NOT NULL,
    ended_at REAL NOT NULL,
    generation INTEGER,             -- what it wrote; NULL where it wrote nothing
    outcome TEXT NOT NULL CHECK (outcome IN ('promoted', 'refused', 'shadowed', 'cancelled', 'failed')),
    reason TEXT NOT NULL,
    labels INTEGER NOT NULL         -- the highest id in labels when it began: what is above is new to the next round
) STRICT;
INSERT INTO rounds_anew SELECT id, started_at, ended_at, generation, outcome, reason, labels FROM rounds;
DROP TABLE rounds;
ALTER TABLE rounds_anew RENAME TO rounds;

ALTER TABLE turns ADD COLUMN sure INTEGER;  -- whether the reading left no doubt; NULL where it says nothing about that

CREATE TABLE shadow_readings (
    turn INTEGER NOT NULL REFERENCES turns (id) ON DELETE CASCADE,
    generation INTEGER NOT NULL,
    heard TEXT NOT NULL,
    reply TEXT,                     -- NULL where the same was heard, so that the same would have been said
    PRIMARY KEY (turn, generation)
) STRICT;
