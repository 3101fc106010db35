-- readers from: 7
-- What somebody wrote about a fan, as it stands. The newest are read with the messages, by an index of their own.
ALTER TABLE interaction ADD COLUMN note boolean NOT NULL DEFAULT false;
CREATE INDEX interaction_note ON interaction (subject, time DESC, "offset" DESC) WHERE note;
