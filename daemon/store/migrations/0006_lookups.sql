-- A label is looked up from its utterance. From the label's side SQLite went through every utterance for each one.
DROP VIEW chosen_labels;
CREATE VIEW chosen_labels AS
SELECT u.id AS utterance, l.text, l.origin, l.confidence FROM utterances u JOIN labels l ON l.id = u.label;

CREATE INDEX shadow_readings_generation ON shadow_readings (generation, turn);
