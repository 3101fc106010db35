-- Subjects: the mapping from a relationship to its random id, and its wrapped key.

-- name: find_by_relationship
SELECT s.subject, s.creator_id, s.fan_id, s.kek, s.wrapped_key
FROM unnest($1::text[], $2::text[]) AS wanted (creator_id, fan_id)
JOIN subject s USING (creator_id, fan_id);

-- name: find_by_subject
SELECT subject, creator_id, fan_id, kek, wrapped_key FROM subject WHERE subject = ANY ($1::uuid[]);

-- A relationship that another worker made meanwhile is left as it is: read again afterwards.
-- name: create
INSERT INTO subject (subject, creator_id, fan_id, kek, wrapped_key)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bytea[])
ON CONFLICT (creator_id, fan_id) DO NOTHING;
