-- Rotation: wrapping everything again under the keyring's newest key, and retiring one.

-- Every key-encryption key that is in use here.
-- name: keks
SELECT kek FROM subject UNION SELECT kek FROM platform_connection UNION SELECT kek FROM suppression_key
UNION SELECT kek FROM creator_key UNION SELECT kek FROM erasure WHERE kek IS NOT NULL
UNION SELECT kek FROM forgetting WHERE kek IS NOT NULL
UNION SELECT kek FROM day_key;

-- How many subjects are wrapped by another key.
-- name: count_others
SELECT count(*) FROM subject WHERE kek <> $1;

-- Subjects wrapped by another key, from one on, in order.
-- name: others_after
SELECT subject, creator_id, fan_id, kek, wrapped_key FROM subject
WHERE subject > $1 AND kek <> $2 ORDER BY subject LIMIT $3;

-- Only where the row is still as it was read: an erased subject stays erased.
-- name: rewrap
UPDATE subject AS s SET kek = $1, wrapped_key = x.wrapped_key
FROM unnest($2::uuid[], $3::bytea[], $4::bytea[]) AS x (subject, known, wrapped_key)
WHERE s.subject = x.subject AND s.wrapped_key = x.known;

-- Creators' keys that are wrapped by another key.
-- name: other_creators
SELECT creator_id, kek, wrapped_key FROM creator_key WHERE kek <> $1 ORDER BY creator_id;

-- The same key of a creator under the newest one.
-- name: rewrap_creator
UPDATE creator_key SET kek = $2, wrapped_key = $3 WHERE creator_id = $1 AND wrapped_key = $4;

-- Connections sealed under another key.
-- name: other_connections
SELECT connection, platform, creator_id, kek, sealed, created_at
FROM platform_connection WHERE kek <> $1 ORDER BY connection;

-- The same connection under the newest key, unless it was changed meanwhile.
-- name: reseal_connection
UPDATE platform_connection SET kek = $2, sealed = $3 WHERE connection = $1 AND sealed = $4;

-- The key of the suppressions' hashes, if it is under another key.
-- name: other_suppression_key
SELECT kek, sealed FROM suppression_key WHERE kek <> $1;

-- The same key under the newest one.
-- name: reseal_suppression_key
UPDATE suppression_key SET kek = $1, sealed = $2 WHERE sealed = $3;

-- Days' keys that are wrapped by another key.
-- name: other_days
SELECT day, kek, wrapped_key FROM day_key WHERE kek <> $1 ORDER BY day;

-- The same key of a day under the newest one; one that was destroyed meanwhile stays so.
-- name: rewrap_day
UPDATE day_key SET kek = $2, wrapped_key = $3 WHERE day = $1 AND wrapped_key = $4;

-- Erasures that are not complete and name their fan under another key, from one on, in order.
-- name: other_erasures
SELECT erasure, kek, sealed FROM erasure
WHERE completed_at IS NULL AND erasure > $1 AND kek <> $2 ORDER BY erasure LIMIT $3;

-- The same names under the newest key; one that was completed meanwhile names nobody any more.
-- name: reseal_erasure
UPDATE erasure AS e SET kek = $1, sealed = x.sealed
FROM unnest($2::uuid[], $3::bytea[], $4::bytea[]) AS x (erasure, known, sealed)
WHERE e.erasure = x.erasure AND e.sealed = x.known;

-- Waits for transactions that wrap anything, and keeps others from it until the commit.
-- name: hold
LOCK TABLE subject, creator_key, platform_connection, suppression_key, erasure, forgetting,
    day_key
    IN SHARE ROW EXCLUSIVE MODE;

-- What each key wraps in these tables.
-- name: wrapped
SELECT kek, 'fans' AS what, count(*) AS count FROM subject GROUP BY kek
UNION ALL
SELECT kek, 'creators', count(*) FROM creator_key GROUP BY kek
UNION ALL
SELECT kek, 'connections', count(*) FROM platform_connection GROUP BY kek
UNION ALL
SELECT kek, 'suppressions', count(*) FROM suppression_key GROUP BY kek
UNION ALL
SELECT kek, 'pending erasures', count(*) FROM erasure WHERE kek IS NOT NULL GROUP BY kek
UNION ALL
SELECT kek, 'pending forgettings', count(*) FROM forgetting WHERE kek IS NOT NULL GROUP BY kek
UNION ALL
SELECT kek, 'days of dead letters', count(*) FROM day_key GROUP BY kek;

-- From now on nothing is wrapped by it.
-- name: retire
INSERT INTO retired_key (kek) VALUES ($1) ON CONFLICT DO NOTHING;

-- All that were retired.
-- name: retired
SELECT kek FROM retired_key ORDER BY kek;
