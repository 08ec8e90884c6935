BEGIN TRANSACTION;
CREATE TABLE labels (
    id INTEGER PRIMARY KEY,
    utterance TEXT NOT NULL REFERENCES utterances (id) ON DELETE CASCADE,
    text TEXT NOT NULL,
    origin TEXT NOT NULL CHECK (origin IN ('enrolled', 'corrected', 'recognised')),
    confidence REAL NOT NULL,
    created_at REAL NOT NULL
) STRICT;
INSERT INTO "labels" VALUES(1,'865456ce8f4fdcc3846fd1aaa2c70443','turn on the light','enrolled',1.0,1.79590691602425289157e+09);
INSERT INTO "labels" VALUES(2,'06c0ca87c22cbf6d4ab9f2c8c1b9a0cd','turn of the lights','recognised',0.9,1.79590691602531480784e+09);
INSERT INTO "labels" VALUES(3,'06c0ca87c22cbf6d4ab9f2c8c1b9a0cd','turn off the lights','corrected',1.0,1.79590691602639746663e+09);
INSERT INTO "labels" VALUES(4,'9a1cea12bf5f05d033cbe93ac8613e1d','what time is it','recognised',0.95,1.79590691602842378619e+09);
CREATE TABLE moves (
    id INTEGER PRIMARY KEY,
    at REAL NOT NULL,               -- seconds since the epoch
    generation INTEGER NOT NULL,    -- what was served from then on
    reason TEXT NOT NULL
) STRICT;
INSERT INTO "moves" VALUES(1,1.79590691614254260063e+09,1,'its round ended');
CREATE TABLE "rounds" (
    id INTEGER PRIMARY KEY,
    started_at REAL NOT NULL,
    ended_at REAL NOT NULL,
    generation INTEGER,             -- what it wrote; NULL where it wrote nothing
    outcome TEXT NOT NULL CHECK (outcome IN ('promoted', 'refused', 'shadowed', 'cancelled', 'failed')),
    reason TEXT NOT NULL,
    labels INTEGER NOT NULL         -- the highest id in labels when it began: what is above is new to the next round
) STRICT;
INSERT INTO "rounds" VALUES(1,1790000200.0,1790000900.0,1,'promoted','promoted: 3.1 % word error',4);
CREATE TABLE shadow_readings (
    turn INTEGER NOT NULL REFERENCES turns (id) ON DELETE CASCADE,
    generation INTEGER NOT NULL,
    heard TEXT NOT NULL,
    reply TEXT,                     -- NULL where the same was heard, so that the same would have been said
    PRIMARY KEY (turn, generation)
) STRICT;
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
, sure INTEGER) STRICT;
INSERT INTO "turns" VALUES(1,'06c0ca87c22cbf6d4ab9f2c8c1b9a0cd','aligned','turn of the lights','Which lights?',120.0,900.0,1,1790000000.0,1);
INSERT INTO "turns" VALUES(2,NULL,'text','hello','Hello.',80.0,300.0,NULL,1790000100.0,NULL);
CREATE TABLE utterances (
    id TEXT PRIMARY KEY,            -- first 32 hexadecimal digits of the sha256 of its 16-bit samples
    created_at REAL NOT NULL,       -- seconds since the epoch
    seconds REAL NOT NULL,
    source TEXT NOT NULL,           -- microphone, file, enrolled or recovered
    audio TEXT NOT NULL,            -- file name within audio/
    holdout INTEGER NOT NULL
) STRICT;
INSERT INTO "utterances" VALUES('865456ce8f4fdcc3846fd1aaa2c70443',1.79590691600537705422e+09,1.0,'microphone','865456ce8f4fdcc3846fd1aaa2c70443.flac',0);
INSERT INTO "utterances" VALUES('06c0ca87c22cbf6d4ab9f2c8c1b9a0cd',1.79590691601388049124e+09,1.0,'microphone','06c0ca87c22cbf6d4ab9f2c8c1b9a0cd.flac',0);
INSERT INTO "utterances" VALUES('9a1cea12bf5f05d033cbe93ac8613e1d',1.79590691602147054664e+09,1.0,'microphone','9a1cea12bf5f05d033cbe93ac8613e1d.flac',0);
CREATE INDEX labels_utterance ON labels (utterance, id);
CREATE VIEW chosen_labels AS
SELECT utterance, text, origin, confidence FROM (
    SELECT *, row_number() OVER (PARTITION BY utterance ORDER BY origin = 'recognised', id DESC) AS place FROM labels
) WHERE place = 1;
COMMIT;
PRAGMA user_version = 3;
