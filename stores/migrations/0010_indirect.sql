-- readers from: 7
-- A message that is not direct (a mass message, or one of the platform's) is no `message` here, so
-- that the newest of the others are read by the index that they have; it has one of its own.
ALTER TABLE interaction ADD COLUMN indirect boolean NOT NULL DEFAULT false;
CREATE INDEX interaction_indirect ON interaction (subject, time DESC, "offset" DESC) WHERE indirect;
