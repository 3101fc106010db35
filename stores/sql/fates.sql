-- Fates: what became of an event.

-- The fan's subject and key.
-- name: subject
SELECT subject, creator_id, fan_id, kek, wrapped_key,
    (SELECT state <> 'bound' FROM key_binding) AS unbound_opens
FROM subject WHERE creator_id = $1 AND fan_id = $2;

-- Those of these events that are in the history.
-- name: events
SELECT event_key, partition, "offset", body FROM interaction
WHERE subject = $1 AND event_key = ANY ($2::bytea[]);

-- What of the fan was set aside, the newest first.
-- name: quarantined
SELECT partition, "offset", reason, value FROM quarantine
WHERE subject = $1 ORDER BY at DESC LIMIT $2;

-- How far ingest has got in a partition of `interactions`.
-- name: ingested
SELECT coalesce(max(next), 0) FROM position WHERE generation = 0 AND topic = $1 AND partition = $2;
