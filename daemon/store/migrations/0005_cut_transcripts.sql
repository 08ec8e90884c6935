-- Transcripts were cut off after about 110 tokens, which nobody says in less than 15 seconds: what was recognised in longer
-- utterances is recognised anew.
DELETE FROM labels WHERE origin = 'recognised' AND utterance IN (SELECT id FROM utterances WHERE seconds > 15);
