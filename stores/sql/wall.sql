-- The wall between creators: row-level security for the role that reads for the API.

-- Any of the readers' statements, with the creator set whose rows it may see, and in force before one
-- is looked at: what stands in LATERAL needs the row of `let_in`, so nothing in it begins before
-- that row is there. There is one such row, so the statement's order stays. The setting ends with the
-- statement's transaction, most often the statement.
-- name: walled
WITH let_in AS MATERIALIZED (SELECT set_config('fanmemory.creator', ${parameter}, true) AS creator)
SELECT seen.* FROM let_in CROSS JOIN LATERAL (
    SELECT asked.* FROM (
{statement}
    ) AS asked WHERE let_in.creator IS NOT NULL OFFSET 0
) AS seen;

-- The policies, on every table of which the reader may see one creator's rows only; by the tables'
-- owner, as often as one likes. Other roles see all rows. Without a creator the reader sees none:
-- no creator's id is empty. The owner is held to the policies, too, so COPY into these is refused.
-- What is looked up is a value, not EXISTS: for that Postgres would rather read all the creator's fans
-- at once, into a hash.
-- name: build
DO $wall$
DECLARE
    -- IS TRUE, so that no index is gone along by it: the setting is empty while a statement is planned,
    -- which would make Postgres believe that nobody is there, and read all of a creator's fans for each
    -- row that is looked up.
    named CONSTANT text := '(creator_id = current_setting(''fanmemory.creator'', true)) IS TRUE';
    one record;
    fan CONSTANT text := '(SELECT true FROM subject AS s WHERE s.subject = %I.subject)';
    -- As `stores.states.creator_hash`; once for the whole statement.
    hashed CONSTANT text := 'creator_hash = (SELECT (''x'' || encode(substr(sha256(convert_to('
        'current_setting(''fanmemory.creator'', true), ''UTF8'')), 1, 8), ''hex''))::bit(64)::bigint)';
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'fanmemory_reader') THEN
        RETURN;
    END IF;
    FOR one IN
        SELECT format('%I.%I', place, name) AS name, condition
        FROM (
            SELECT 'public' AS place, name, named AS condition
            FROM unnest(ARRAY['subject', 'platform_connection', 'creator_key', 'retention',
                'history_retention', 'workflow', 'usage', 'campaign', 'refused']) AS name
            UNION ALL
            SELECT 'public', name,
                format(fan, name)
            FROM unnest(ARRAY['interaction', 'quarantine']) AS name
            UNION ALL
            SELECT 'public', name,
                format('(SELECT true FROM workflow AS w WHERE w.workflow = %I.workflow)', name)
            FROM unnest(ARRAY['draft', 'decision']) AS name
            UNION ALL
            SELECT 'g' || generation, 'fan_state',
                hashed || ' OR ' || format(fan, 'fan_state')
            FROM generation
        ) AS wanted
        WHERE NOT EXISTS (
            SELECT FROM pg_class AS c JOIN pg_policy AS p ON polrelid = c.oid
            WHERE c.oid = to_regclass(format('%I.%I', place, name))
                AND relrowsecurity AND relforcerowsecurity AND polname = 'of_creator'
                AND obj_description(p.oid, 'pg_policy') = condition
                AND EXISTS (SELECT FROM pg_policy WHERE polrelid = c.oid AND polname = 'everyone')
        )
    LOOP
        EXECUTE format('DROP POLICY IF EXISTS everyone ON %s', one.name);
        EXECUTE format('DROP POLICY IF EXISTS of_creator ON %s', one.name);
        EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', one.name);
        EXECUTE format('CREATE POLICY everyone ON %s USING (true)', one.name);
        EXECUTE format('CREATE POLICY of_creator ON %s AS RESTRICTIVE TO fanmemory_reader USING (%s)',
            one.name, one.condition);
        -- What it was made of, so that another release's is noticed.
        EXECUTE format('COMMENT ON POLICY of_creator ON %s IS %L', one.name, one.condition);
    END LOOP;
END
$wall$;

-- What this role may read of creators without a wall: a generation that a former release made, until
-- the next migrate.
-- name: unwalled
SELECT c.oid::regclass::text AS name FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = relnamespace
WHERE relkind IN ('r', 'v') AND nspname !~ '^(pg_|information_schema)'
    AND NOT (relrowsecurity AND relforcerowsecurity) AND has_table_privilege(c.oid, 'SELECT')
    AND EXISTS (
        SELECT FROM pg_attribute
        WHERE attrelid = c.oid AND attname IN ('subject', 'creator_id', 'workflow')
    )
ORDER BY 1;
