-- Subjects: the mapping from a relationship to its random id, and its wrapped key.

-- The subjects of relationships, by creator and fan.
-- name: find_by_relationship
SELECT s.subject, s.creator_id, s.fan_id, s.kek, s.wrapped_key,
    (SELECT state <> 'bound' FROM key_binding) AS unbound_opens
FROM unnest($1::text[], $2::text[]) AS wanted (creator_id, fan_id)
JOIN subject s USING (creator_id, fan_id);

-- The next of a creator's, by the fan's id.
-- name: find_by_creator
SELECT subject, creator_id, fan_id, kek, wrapped_key,
    (SELECT state <> 'bound' FROM key_binding) AS unbound_opens
FROM subject WHERE creator_id = $1 AND fan_id > $2 ORDER BY fan_id LIMIT $3;

-- The relationships of subjects.
-- name: find_by_subject
SELECT subject, creator_id, fan_id, kek, wrapped_key,
    (SELECT state <> 'bound' FROM key_binding) AS unbound_opens
FROM subject WHERE subject = ANY ($1::uuid[]);

-- A relationship that another worker made meanwhile is left as it is, and does not come back.
-- Both wrappings are given, and the state chooses in the same statement: no one who asked before
-- `fanmemory keys bind` writes an unbound one after it.
-- name: create
INSERT INTO subject (subject, creator_id, fan_id, kek, wrapped_key)
SELECT subject, creator_id, fan_id, kek,
    CASE WHEN (SELECT state FROM key_binding) = 'unbound' THEN unbound_key ELSE bound_key END
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bytea[], $6::bytea[])
    AS fresh (subject, creator_id, fan_id, kek, bound_key, unbound_key)
ON CONFLICT (creator_id, fan_id) DO NOTHING
RETURNING subject, kek, wrapped_key;

-- A subject with its key.
-- name: delete
DELETE FROM subject WHERE subject = $1 RETURNING subject;

-- A key-encryption key that subjects are wrapped under and that is not among these.
-- name: find_other_kek
SELECT kek FROM subject WHERE kek <> ALL ($1::text[]) LIMIT 1;
