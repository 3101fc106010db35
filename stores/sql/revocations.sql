-- Revocations: tokens that are good no more, before they expire.

-- How often the list has changed.
-- name: revision
SELECT revision FROM revocation_revision;

-- The whole list, which has a bound.
-- name: all
SELECT what, name, issued_until FROM revocation WHERE forgotten_at > now();

-- One more; nothing when there are $4 already. Whoever comes at the same time waits for the revision.
-- name: add
WITH changed AS (UPDATE revocation_revision SET revision = revision + 1 RETURNING revision),
gone AS (DELETE FROM revocation WHERE forgotten_at < now())
INSERT INTO revocation AS r (what, name, issued_until, forgotten_at)
SELECT $1, $2, CASE $1 WHEN 'user' THEN clock_timestamp() END, now() + $3::bigint * interval '1 s'
FROM changed WHERE (SELECT count(*) FROM revocation WHERE forgotten_at > now()) < $4
ON CONFLICT (what, name) DO UPDATE
SET issued_until = EXCLUDED.issued_until, forgotten_at = EXCLUDED.forgotten_at
RETURNING true;
