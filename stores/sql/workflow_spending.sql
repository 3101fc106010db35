-- What fans have paid.

-- What is no message of the time since $2, the newest first.
-- name: payments
SELECT event_key, body FROM interaction
WHERE subject = $1 AND NOT message AND NOT indirect AND time >= $2
ORDER BY time DESC LIMIT $3;
