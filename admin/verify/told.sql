-- What has still to be told, and what must have been. {generation} is the live generation's schema.

-- The updates in the outbox, those that the broker refuses included.
-- name: waiting
SELECT subject, value FROM outbox_record WHERE topic = $1 AND subject IS NOT NULL;

-- The version of every fan who is remembered.
-- name: states
SELECT s.creator_id, s.fan_id, s.subject, f.version
FROM {generation}.fan_state AS f JOIN subject AS s USING (subject);
