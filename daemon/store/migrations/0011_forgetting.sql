-- What is being forgotten: it is finished at the next start if the process is killed meanwhile. Its rows are gone already.
CREATE TABLE forgettings (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL,               -- seconds since the epoch
    what TEXT NOT NULL,             -- a kind of scope, and no word of what was said
    utterances TEXT NOT NULL,       -- a JSON list of ids
    files TEXT NOT NULL,            -- a JSON list of the names of their audio files, and of all others where everything goes
    seconds REAL NOT NULL,          -- of sound
    turns INTEGER NOT NULL,
    generations TEXT NOT NULL,      -- a JSON list of those that had learnt from them
    others INTEGER NOT NULL         -- phrases, alarms and things on lists
) STRICT;
