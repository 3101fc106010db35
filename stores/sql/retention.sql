-- Retention: how long a creator keeps what.

-- A creator's rule.
-- name: find
SELECT (SELECT silent_days FROM retention WHERE creator_id = $1) AS silent_days,
    (SELECT history_days FROM history_retention WHERE creator_id = $1) AS history_days;

-- A new rule for silent fans, or another one.
-- name: put_silent
INSERT INTO retention (creator_id, silent_days) VALUES ($1, $2)
ON CONFLICT (creator_id) DO UPDATE SET silent_days = excluded.silent_days, changed_at = now();

-- No rule: silent fans are kept.
-- name: remove_silent
DELETE FROM retention WHERE creator_id = $1;

-- A new rule for old events, or another one.
-- name: put_history
INSERT INTO history_retention (creator_id, history_days) VALUES ($1, $2)
ON CONFLICT (creator_id) DO UPDATE SET history_days = excluded.history_days, changed_at = now();

-- No rule: old events are kept.
-- name: remove_history
DELETE FROM history_retention WHERE creator_id = $1;

-- All rules.
-- name: rules
SELECT creator_id, silent_days, history_days
FROM retention FULL JOIN history_retention USING (creator_id) ORDER BY creator_id;

-- Fans of a creator, from one on, of whom nothing has happened since a time (ms), and who were not met
-- for the first time within the last day: of those, events may still be on their way.
-- name: silent
SELECT s.subject, s.fan_id FROM subject AS s
WHERE s.creator_id = $1 AND s.fan_id > $3 AND s.created_at < now() - interval '1 day'
    AND NOT EXISTS (SELECT FROM interaction AS i WHERE i.subject = s.subject AND i.time >= $2)
ORDER BY s.fan_id LIMIT $4;

-- Fans of a creator, from one on, of whom something happened before a time (ms). What stands for a forgotten
-- event has no time.
-- name: older
SELECT s.fan_id FROM subject AS s
WHERE s.creator_id = $1 AND s.fan_id > $3
    AND EXISTS (SELECT FROM interaction AS i WHERE i.subject = s.subject AND i.time > 0 AND i.time < $2)
ORDER BY s.fan_id LIMIT $4;

-- One sweep at a time, until its connection ends.
-- name: lock
SELECT pg_try_advisory_lock($1);
