-- Binding wrapped keys to their relationships.

-- How far the binding has got: unbound, binding or bound.
-- name: state
SELECT state FROM key_binding;

-- Every key-encryption key that is in use.
-- name: keks
SELECT DISTINCT kek FROM subject;

-- From here on new keys are bound.
-- name: begin
UPDATE key_binding SET state = 'binding', changed_at = now() WHERE state = 'unbound';

-- Subjects whose wrapped key is not bound yet, from one on, in order.
-- name: unbound_after
SELECT subject, creator_id, fan_id, kek, wrapped_key FROM subject
WHERE subject > $1 AND octet_length(wrapped_key) <> $2
ORDER BY subject LIMIT $3;

-- Only where the row is still as it was read: an erased subject stays erased.
-- name: rewrap
UPDATE subject AS s SET kek = x.kek, wrapped_key = x.wrapped_key
FROM unnest($1::uuid[], $2::bytea[], $3::text[], $4::bytea[])
    AS x (subject, known, kek, wrapped_key)
WHERE s.subject = x.subject AND s.wrapped_key = x.known;

-- Waits for transactions that make subjects, and keeps others from it until the commit.
-- name: hold_new_subjects
LOCK TABLE subject IN SHARE ROW EXCLUSIVE MODE;

-- From here on an unbound key opens nothing.
-- name: finish
UPDATE key_binding SET state = 'bound', changed_at = now();
