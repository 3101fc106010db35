-- Connections to platforms.

-- name: add
INSERT INTO platform_connection (connection, platform, creator_id, kek, sealed)
VALUES ($1, $2, $3, $4, $5);

-- name: find
SELECT connection, platform, creator_id, kek, sealed, created_at
FROM platform_connection WHERE connection = $1 AND platform = $2;

-- name: list
SELECT connection, platform, creator_id, kek, sealed, created_at
FROM platform_connection ORDER BY created_at, connection;

-- name: remove
DELETE FROM platform_connection WHERE connection = $1 RETURNING connection;
