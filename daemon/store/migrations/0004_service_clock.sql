-- Ages are told by a clock of the service's own, which the wall clock does not move. service_at: seconds of that clock.
CREATE TABLE service_clock (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    seconds REAL NOT NULL,          -- of the service clock, when the other clocks stood as follows
    wall REAL NOT NULL,             -- seconds since the epoch
    elapsed REAL NOT NULL,          -- seconds since the start of the machine
    boot TEXT NOT NULL              -- names that start
) STRICT;

-- What a person must be told about the store itself, such as that it was lost.
CREATE TABLE notices (
    id INTEGER PRIMARY KEY,
    at REAL NOT NULL,               -- seconds since the epoch
    service_at REAL NOT NULL,
    text TEXT NOT NULL
) STRICT;

ALTER TABLE turns ADD COLUMN service_at REAL NOT NULL DEFAULT 0;
ALTER TABLE rounds ADD COLUMN service_at REAL NOT NULL DEFAULT 0;      -- when it ended
ALTER TABLE utterances ADD COLUMN service_at REAL NOT NULL DEFAULT 0;

-- The service clock begins at 0 now, so what is there already stands before 0. Its age is what the wall clock said where that can be:
-- between 2025 and now; no row is older than one that was kept before it; of the time since the newest row at most a week counts,
-- for a wall clock that is wrong now must not make everything old. A row of which nothing is known is as old as if kept now.
CREATE TABLE span AS
SELECT min(wall - newest, 604800.0) + newest AS until, wall AS latest FROM (
    SELECT (julianday('now') - 2440587.5) * 86400.0 AS wall, max(stamp) AS newest FROM (
        SELECT created_at AS stamp FROM turns UNION ALL SELECT created_at FROM utterances UNION ALL SELECT ended_at FROM rounds
    ) WHERE stamp BETWEEN 1735689600.0 AND (julianday('now') - 2440587.5) * 86400.0
);
UPDATE turns SET service_at = -age FROM (
    SELECT turns.id AS kept, coalesce(min(CASE WHEN created_at BETWEEN 1735689600.0 AND latest THEN until - created_at END)
        OVER (ORDER BY turns.id), 0.0) AS age FROM turns, span
) WHERE id = kept;
UPDATE rounds SET service_at = -age FROM (
    SELECT rounds.id AS kept, coalesce(min(CASE WHEN ended_at BETWEEN 1735689600.0 AND latest THEN until - ended_at END)
        OVER (ORDER BY rounds.id), 0.0) AS age FROM rounds, span
) WHERE id = kept;
UPDATE utterances SET service_at = -age FROM (
    SELECT utterances.id AS kept, coalesce(min(CASE WHEN created_at BETWEEN 1735689600.0 AND latest THEN until - created_at END)
        OVER (ORDER BY utterances.rowid), 0.0) AS age FROM utterances, span
) WHERE id = kept;
DROP TABLE span;

-- The label that an utterance would be trained on stands beside it, so that counting does not go through all labels.
ALTER TABLE utterances ADD COLUMN label INTEGER;                        -- its id; NULL without one
ALTER TABLE utterances ADD COLUMN label_origin TEXT;
ALTER TABLE utterances ADD COLUMN label_confidence REAL;
UPDATE utterances SET (label, label_origin, label_confidence) = (
    SELECT l.id, l.origin, l.confidence FROM labels l WHERE l.utterance = utterances.id
    ORDER BY l.origin = 'recognised', l.id DESC LIMIT 1
);
CREATE TRIGGER label_added AFTER INSERT ON labels BEGIN
    UPDATE utterances SET (label, label_origin, label_confidence) = (
        SELECT l.id, l.origin, l.confidence FROM labels l WHERE l.utterance = NEW.utterance
        ORDER BY l.origin = 'recognised', l.id DESC LIMIT 1
    ) WHERE id = NEW.utterance;
END;
CREATE TRIGGER label_removed AFTER DELETE ON labels BEGIN
    UPDATE utterances SET (label, label_origin, label_confidence) = (
        SELECT l.id, l.origin, l.confidence FROM labels l WHERE l.utterance = OLD.utterance
        ORDER BY l.origin = 'recognised', l.id DESC LIMIT 1
    ) WHERE id = OLD.utterance;
END;
CREATE TRIGGER label_changed AFTER UPDATE ON labels BEGIN
    UPDATE utterances SET (label, label_origin, label_confidence) = (
        SELECT l.id, l.origin, l.confidence FROM labels l WHERE l.utterance = utterances.id
        ORDER BY l.origin = 'recognised', l.id DESC LIMIT 1
    ) WHERE id IN (OLD.utterance, NEW.utterance);
END;
DROP VIEW chosen_labels;
CREATE VIEW chosen_labels AS
SELECT l.utterance, l.text, l.origin, l.confidence FROM utterances u JOIN labels l ON l.id = u.label;

-- Totals by the origin of that label, empty for none.
CREATE TABLE totals (
    origin TEXT PRIMARY KEY,
    utterances INTEGER NOT NULL,
    seconds REAL NOT NULL
) STRICT;
INSERT INTO totals SELECT coalesce(label_origin, ''), count(*), sum(seconds) FROM utterances GROUP BY 1;
CREATE TRIGGER utterance_added AFTER INSERT ON utterances BEGIN
    INSERT INTO totals VALUES (coalesce(NEW.label_origin, ''), 1, NEW.seconds)
        ON CONFLICT DO UPDATE SET utterances = utterances + 1, seconds = seconds + excluded.seconds;
END;
CREATE TRIGGER utterance_removed AFTER DELETE ON utterances BEGIN
    UPDATE totals SET utterances = utterances - 1, seconds = seconds - OLD.seconds WHERE origin = coalesce(OLD.label_origin, '');
END;
CREATE TRIGGER utterance_labelled AFTER UPDATE OF label_origin ON utterances WHEN OLD.label_origin IS NOT NEW.label_origin BEGIN
    UPDATE totals SET utterances = utterances - 1, seconds = seconds - OLD.seconds WHERE origin = coalesce(OLD.label_origin, '');
    INSERT INTO totals VALUES (coalesce(NEW.label_origin, ''), 1, NEW.seconds)
        ON CONFLICT DO UPDATE SET utterances = utterances + 1, seconds = seconds + excluded.seconds;
END;

CREATE INDEX utterances_label ON utterances (label_origin, label, label_confidence);
CREATE INDEX utterances_service ON utterances (service_at);
CREATE INDEX turns_service ON turns (service_at);
CREATE INDEX turns_utterance ON turns (utterance, generation);          -- also for the removal of an utterance, which clears turns
