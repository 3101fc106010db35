-- Connections to platforms.

-- A new one.
-- name: add
INSERT INTO platform_connection (connection, platform, creator_id, kek, sealed)
VALUES ($1, $2, $3, $4, $5);

-- By id; asked under another platform it is not there.
-- name: find
SELECT connection, platform, creator_id, kek, sealed, created_at
FROM platform_connection WHERE connection = $1 AND platform = $2;

-- All, oldest first.
-- name: list
SELECT connection, platform, creator_id, kek, sealed, created_at
FROM platform_connection ORDER BY created_at, connection;

-- Its deliveries are refused from now on.
-- name: remove
DELETE FROM platform_connection WHERE connection = $1 RETURNING connection;
