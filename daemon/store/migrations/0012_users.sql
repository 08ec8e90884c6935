-- The people who use Attune. The first is whoever has used it so far.
CREATE TABLE users (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE COLLATE NOCASE,
    created_at REAL NOT NULL        -- seconds since the epoch
) STRICT;
INSERT INTO users (id, name, created_at) VALUES (1, 'first user', (julianday('now') - 2440587.5) * 86400.0);

-- Who is served; one row.
CREATE TABLE served_user (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    user INTEGER NOT NULL
) STRICT;
INSERT INTO served_user VALUES (1, 1);

ALTER TABLE utterances ADD COLUMN served INTEGER NOT NULL DEFAULT 1;   -- the user who was served when it was said
ALTER TABLE utterances ADD COLUMN user INTEGER;                        -- whose voice it is; NULL for somebody else's, or if that is not known
ALTER TABLE utterances ADD COLUMN user_by TEXT                         -- how that is known; NULL as long as nothing has looked
    CHECK (user_by IN ('enrolled', 'hand', 'voice', 'unclear'));
ALTER TABLE utterances ADD COLUMN user_confidence REAL;                -- probability, 0 to 1, that it is the user's, or of whom it is likest
ALTER TABLE utterances ADD COLUMN user_told_at REAL;                   -- by the service clock
UPDATE utterances SET user = 1, user_by = 'enrolled' WHERE id IN (SELECT utterance FROM labels WHERE origin = 'enrolled');
CREATE INDEX utterances_user ON utterances (user, label_origin, label, label_confidence);

-- Voiceprints of utterances: 256 numbers of 32 bits; empty where too little is said to tell.
CREATE TABLE voiceprints (
    utterance TEXT NOT NULL REFERENCES utterances (id) ON DELETE CASCADE,
    noise TEXT NOT NULL CHECK (noise IN ('none', 'white', 'pink')),     -- what was added to the recording
    print BLOB NOT NULL,
    PRIMARY KEY (utterance, noise)
) STRICT;

-- The user who was served.
ALTER TABLE turns ADD COLUMN served INTEGER NOT NULL DEFAULT 1;
-- Rounds and moves are one user's.
ALTER TABLE rounds ADD COLUMN user INTEGER NOT NULL DEFAULT 1;
ALTER TABLE moves ADD COLUMN user INTEGER NOT NULL DEFAULT 1;
