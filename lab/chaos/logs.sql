-- What was found of a log that went backwards.

-- How often each partition of a topic was found broken by who reads it, and whether it stands still.
-- name: breaks
SELECT partition, count(*) FILTER (WHERE reason <> 'the journal lost its tail') AS found,
    count(*) FILTER (WHERE status = 'stopped') AS stopped
FROM log_break
WHERE topic = $1
GROUP BY partition;
