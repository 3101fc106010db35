-- Records that could not be opened or folded: kept sealed, counted, alarmed.

-- Set a record aside.
-- name: insert
INSERT INTO quarantine (partition, "offset", subject, reason, value)
VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING;

-- What was quarantined below a position.
-- name: offsets
SELECT "offset" FROM quarantine WHERE partition = $1 AND "offset" < $2;

-- Everything of some subjects; how many rows each had.
-- name: delete
WITH gone AS (DELETE FROM quarantine WHERE subject = ANY ($1::uuid[]) RETURNING subject)
SELECT subject, count(*) AS rows FROM gone GROUP BY subject;

-- What can be folded by now.
-- name: release
DELETE FROM quarantine WHERE partition = $1 AND "offset" = ANY ($2::bigint[]);
