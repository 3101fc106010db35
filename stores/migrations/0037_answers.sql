-- readers from: 7
-- Answers of providers, for a day: whoever asks the same of the same memory has them without a call.
-- The key is a hash of all that an answer depends on.
CREATE TABLE answer (
    key        bytea PRIMARY KEY,
    creator_id text NOT NULL,
    -- Whom it is about, and sealed for; null: it is of no fan, and sealed for the creator.
    subject    uuid,
    body       bytea NOT NULL,
    until      timestamptz NOT NULL
);
CREATE INDEX answer_until ON answer (until);
CREATE INDEX answer_subject ON answer (subject) WHERE subject IS NOT NULL;
