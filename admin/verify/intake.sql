-- What the intake's check asks of the snapshot.

-- Which of these events are in the history.
-- name: known_events
SELECT w.number FROM unnest($1::int[], $2::uuid[], $3::bytea[]) AS w (number, subject, event_key)
JOIN interaction AS i USING (subject, event_key);

-- Everything that was quarantined.
-- name: quarantined
SELECT value FROM quarantine;
