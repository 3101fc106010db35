-- readers from: 7
-- What tells facts of the fan, as it stands. Workers of the former release write rows without it; a rebuild mends them.
ALTER TABLE interaction ADD COLUMN told boolean NOT NULL DEFAULT false;
CREATE INDEX interaction_told ON interaction (subject, time DESC, "offset" DESC) WHERE told;
