-- Timers, alarms and reminders. One that is over is removed.
CREATE TABLE alarms (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL CHECK (kind IN ('timer', 'alarm', 'reminder')),
    name TEXT NOT NULL,             -- what it is called, or what the user is reminded of
    seconds REAL,                   -- the length of time after which it rings
    local_time TEXT,                -- or the time of day where the user is: 2026-11-30T07:00
    days TEXT NOT NULL,             -- a JSON list of days of the week, from 0 for Monday
    due_wall REAL,                  -- when the length is over, in seconds since the epoch
    due_elapsed REAL,               -- the same by a clock that is never set, in one start of the
    boot TEXT NOT NULL,             -- machine
    left_seconds REAL,              -- of a timer that is paused
    ringing_since REAL,             -- seconds since the epoch, once it rings
    added_at REAL NOT NULL,
    CHECK ((seconds IS NULL) != (local_time IS NULL))
) STRICT;

-- The user's lists.
CREATE TABLE list_items (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    list TEXT NOT NULL,
    text TEXT NOT NULL,
    added_at REAL NOT NULL,
    UNIQUE (list, text)
) STRICT;

-- What nobody heard, to be told when somebody speaks next.
CREATE TABLE missed_alarms (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    text TEXT NOT NULL,
    added_at REAL NOT NULL
) STRICT;

-- Until when nothing is kept of what is said; no row, or one, in seconds since the epoch.
CREATE TABLE private_time (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    until_wall REAL NOT NULL
) STRICT;
