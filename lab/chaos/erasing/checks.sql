-- What the checks read after erasing, apart from the code that erases.

-- Tables with a column `subject`, but for the list of those who were erased.
-- name: tables
SELECT table_schema || '.' || table_name AS name FROM information_schema.columns
WHERE column_name = 'subject' AND table_schema NOT IN ('pg_catalog', 'information_schema')
    AND table_name NOT IN ('subject', 'erased_subject')
    AND (table_schema, table_name) IN (
        SELECT table_schema, table_name FROM information_schema.tables
        WHERE table_type = 'BASE TABLE'
    )
ORDER BY 1;

-- Rows of {table} whose subject stands for nobody.
-- name: residue
SELECT count(*) FROM {table} AS t WHERE t.subject IS NOT NULL
    AND NOT EXISTS (SELECT FROM subject AS s WHERE s.subject = t.subject);

-- How many were erased and stand for somebody all the same.
-- name: risen
SELECT count(*) FROM erased_subject JOIN subject USING (subject);

-- Random ids of all who were erased.
-- name: erased
SELECT subject FROM erased_subject;

-- Each erasure: its id, and whether it is complete and names nobody any more.
-- name: erasures
SELECT erasure, completed_at IS NOT NULL AND sealed IS NULL AND kek IS NULL AS done FROM erasure;

-- Erasures and forgettings that are not complete.
-- name: pending
SELECT (SELECT count(*) FROM erasure WHERE completed_at IS NULL)
    + (SELECT count(*) FROM forgetting WHERE completed_at IS NULL);

-- A fan's random id and wrapped key.
-- name: keys
SELECT subject, wrapped_key FROM subject WHERE creator_id = $1 AND fan_id = $2;

-- What workflows hold, sealed: the intent, and each version of the draft.
-- name: texts
SELECT w.workflow, w.creator_id, w.subject, w.intent, d.version, d.body
FROM workflow AS w LEFT JOIN draft AS d USING (workflow);
