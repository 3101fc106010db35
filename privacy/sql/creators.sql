-- The keys of creators.

-- One creator's.
-- name: find_creator
SELECT kek, wrapped_key FROM creator_key WHERE creator_id = $1;

-- A first one; one that another process has made meanwhile stays.
-- name: create_creator
INSERT INTO creator_key (creator_id, kek, wrapped_key) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING;
