-- Connections to platforms.

-- A new one.
-- name: add
INSERT INTO platform_connection (connection, platform, creator_id, kek, sealed)
VALUES ($1, $2, $3, $4, $5);

-- By id; asked under another platform it is not there.
-- name: find
SELECT connection, platform, creator_id, kek, sealed, created_at
FROM platform_connection WHERE connection = $1 AND platform = $2;

-- A new one, or another platform and secret for one of the same creator's; nothing for another's, or
-- beyond $6 of them.
-- name: put
INSERT INTO platform_connection AS c (connection, platform, creator_id, kek, sealed)
SELECT $1::text, $2::text, $3::text, $4::text, $5::bytea
WHERE EXISTS (SELECT FROM platform_connection WHERE connection = $1)
    OR (SELECT count(*) FROM platform_connection WHERE creator_id = $3) < $6::int
ON CONFLICT (connection) DO UPDATE
SET platform = excluded.platform, kek = excluded.kek, sealed = excluded.sealed
WHERE c.creator_id = excluded.creator_id
RETURNING connection, platform, creator_id, kek, sealed, created_at;

-- One of a creator's.
-- name: find_own
SELECT connection, platform, creator_id, kek, sealed, created_at
FROM platform_connection WHERE connection = $1 AND creator_id = $2;

-- A creator's, oldest first.
-- name: list_own
SELECT connection, platform, creator_id, kek, sealed, created_at
FROM platform_connection WHERE creator_id = $1 ORDER BY created_at, connection LIMIT $2;

-- Like `remove`, of a creator's own only.
-- name: remove_own
DELETE FROM platform_connection WHERE connection = $1 AND creator_id = $2 RETURNING connection;

-- All, oldest first.
-- name: list
SELECT connection, platform, creator_id, kek, sealed, created_at
FROM platform_connection ORDER BY created_at, connection;

-- Its deliveries are refused from now on.
-- name: remove
DELETE FROM platform_connection WHERE connection = $1 RETURNING connection;
