CREATE TABLE utterances (
    id TEXT PRIMARY KEY,            -- first 32 hexadecimal digits of the sha256 of its 16-bit samples
    created_at REAL NOT NULL,       -- seconds since the epoch
    seconds REAL NOT NULL,
    source TEXT NOT NULL,           -- microphone, file, enrolled or recovered
    audio TEXT NOT NULL,            -- file name within audio/
    holdout INTEGER NOT NULL
) STRICT;

CREATE TABLE labels (
    id INTEGER PRIMARY KEY,
    utterance TEXT NOT NULL REFERENCES utterances (id) ON DELETE CASCADE,
    text TEXT NOT NULL,
    origin TEXT NOT NULL CHECK (origin IN ('enrolled', 'corrected', 'recognised')),
    confidence REAL NOT NULL,
    created_at REAL NOT NULL
) STRICT;
CREATE INDEX labels_utterance ON labels (utterance, id);

-- One label for each utterance: the latest that a person confirmed, else the latest that was recognised.
CREATE VIEW chosen_labels AS
SELECT utterance, text, origin, confidence FROM (
    SELECT *, row_number() OVER (PARTITION BY utterance ORDER BY origin = 'recognised', id DESC) AS place FROM labels
) WHERE place = 1;

CREATE TABLE turns (
    id INTEGER PRIMARY KEY,
    utterance TEXT REFERENCES utterances (id) ON DELETE SET NULL,
    route TEXT NOT NULL,            -- cascade, aligned or text
    heard TEXT NOT NULL,
    reply TEXT NOT NULL,
    first_token_ms REAL,            -- from the end of speech; NULL where there was no reply
    reply_ms REAL NOT NULL,
    generation INTEGER,             -- NULL where no projector took part
    created_at REAL NOT NULL
) STRICT;

CREATE TABLE rounds (
    id INTEGER PRIMARY KEY,
    started_at REAL NOT NULL,
    ended_at REAL NOT NULL,
    generation INTEGER,             -- what it wrote; NULL where it wrote nothing
    outcome TEXT NOT NULL CHECK (outcome IN ('promoted', 'refused', 'cancelled', 'failed')),
    reason TEXT NOT NULL,
    labels INTEGER NOT NULL         -- the highest id in labels when it began: what is above is new to the next round
) STRICT;
