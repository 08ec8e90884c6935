-- What the user decided about keeping and learning from what is said; the last row holds.
CREATE TABLE consent (
    id INTEGER PRIMARY KEY,
    agreed INTEGER NOT NULL CHECK (agreed IN (0, 1)),
    by TEXT NOT NULL,
    at REAL NOT NULL                -- seconds since the epoch
) STRICT;
-- Who enrolled or corrected recordings with an earlier release gave them to be learned from. Who only spoke is asked.
INSERT INTO consent (agreed, by, at) SELECT 1, 'enrolment with an earlier release', since FROM (
    SELECT min(created_at) AS since FROM labels WHERE origin IN ('enrolled', 'corrected')
) WHERE since IS NOT NULL;

-- When the question was put by voice, which happens once; no row, or one.
CREATE TABLE consent_asked (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    at REAL NOT NULL
) STRICT;
