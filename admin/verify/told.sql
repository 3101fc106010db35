-- What must have been told. {generation} is the live generation's schema.

-- The version of every fan who is remembered.
-- name: states
SELECT s.creator_id, s.fan_id, s.subject, f.version
FROM {generation}.fan_state AS f JOIN subject AS s USING (subject);
