-- Workflows as people see them.

-- A page, the newest first; behind ($3, $4) if they are given.
-- name: list_workflows
SELECT w.*, s.fan_id, d.flags
FROM workflow AS w
LEFT JOIN subject AS s USING (subject)
LEFT JOIN draft AS d ON d.workflow = w.workflow AND d.version = w.draft
WHERE ($1::text IS NULL OR w.creator_id = $1)
    AND ($2::text[] IS NULL OR w.state = ANY ($2))
    AND ($3::timestamptz IS NULL OR (w.created_at, w.workflow) < ($3, $4::uuid))
ORDER BY w.created_at DESC, w.workflow DESC LIMIT $5;

-- One, for its creator, or for an operator (no creator is named).
-- name: one_workflow
SELECT * FROM workflow WHERE workflow = $1 AND ($2::text IS NULL OR creator_id = $2);

-- How many there are in each state.
-- name: count_states
SELECT state, count(*)::int AS workflows FROM workflow
WHERE $1::text IS NULL OR creator_id = $1 GROUP BY state ORDER BY state;
