-- What a backup reads of the database's snapshot beside `pg_dump`, and what a restore looks at.

-- The snapshot of this transaction, for `pg_dump`; and its time.
-- name: export
SELECT pg_export_snapshot() AS snapshot, now() AS taken_at;

-- Where ingest stood.
-- name: intake
SELECT topic, partition, next FROM position WHERE generation = 0;

-- Where the live views stood.
-- name: folded
SELECT partition, next FROM position
WHERE topic = 'journal' AND generation = (SELECT generation FROM generation WHERE status = 'live');

-- How many fans there are, and the newest migration: its number and its name.
-- name: contents
SELECT (SELECT count(*) FROM subject) AS fans, number, name
FROM migration ORDER BY number DESC LIMIT 1;

-- Tables that stand where a restore would make its own.
-- name: tables
SELECT count(*) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = relnamespace
WHERE relkind IN ('r', 'v', 'm', 'p') AND (nspname = 'public' OR nspname ~ '^g[0-9]+$');

-- The planner knows nothing of restored tables.
-- name: analyze
ANALYZE;

-- How many fans there are.
-- name: fans
SELECT count(*) FROM subject;
