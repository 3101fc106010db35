-- Roles: who may do what in Postgres. docs/security.md says why, docs/operations.md how.
--
--   fanmemory_owner   owns the tables: `fanmemory migrate`, `fanmemory rebuild`
--   fanmemory_writer  reads and writes rows, changes no table: workers, the agent, the API's writes
--   fanmemory_reader  reads what the API shows, in a request of a creator only that creator's
--
-- None of them is a superuser or passes row-level security. A server with one role for everything
-- goes on as it is: what follows leaves out a role that is not there.

-- The roles, and the owner's ownership of everything of ours in this database, which is to hold
-- nothing else; for a superuser. Nobody can log in as one before it is given a password.
-- name: create
DO $roles$
DECLARE
    wanted text;
    change text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['fanmemory_owner', 'fanmemory_writer', 'fanmemory_reader'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
            EXECUTE format('CREATE ROLE %I LOGIN', wanted);
        END IF;
        EXECUTE format('ALTER ROLE %I NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS', wanted);
        EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), wanted);
    END LOOP;
    -- A worker ends transactions of a former owner of its partition that block it.
    GRANT pg_signal_backend TO fanmemory_writer;
    EXECUTE format('ALTER DATABASE %I OWNER TO fanmemory_owner', current_database());
    FOR change IN
        SELECT format('ALTER SCHEMA %I OWNER TO fanmemory_owner', nspname)
        FROM pg_namespace WHERE nspname = 'public' OR nspname ~ '^g[0-9]+$'
        UNION ALL
        SELECT format('ALTER %s %s OWNER TO fanmemory_owner',
            CASE relkind WHEN 'v' THEN 'VIEW' ELSE 'TABLE' END, c.oid::regclass)
        FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = relnamespace
        WHERE relkind IN ('r', 'v') AND (nspname = 'public' OR nspname ~ '^g[0-9]+$')
        UNION ALL
        SELECT format('ALTER FUNCTION %s OWNER TO fanmemory_owner', oid::regprocedure)
        FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    LOOP
        EXECUTE change;
    END LOOP;
END
$roles$;

-- A role's password: hexadecimal, made by us.
-- name: password
ALTER ROLE {role} PASSWORD '{password}';

-- What each role may do with the tables that there are; by their owner, as often as one likes. In
-- new tables of the owner's the writer may read and write by default; the reader sees what is named.
-- name: grant
DO $grant$
DECLARE
    generations text[];
    schema text;
    reads text;
BEGIN
    PERFORM pg_advisory_xact_lock(112645183102066);  -- "froles": one at a time in a database
    SELECT coalesce(array_agg('g' || generation ORDER BY generation), '{}') INTO generations
    FROM generation;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'fanmemory_writer')
        AND current_user <> 'fanmemory_writer'
    THEN
        FOREACH schema IN ARRAY array_prepend('public', generations) LOOP
            EXECUTE format('GRANT USAGE ON SCHEMA %I TO fanmemory_writer', schema);
            EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA %I'
                ' GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO fanmemory_writer', schema);
            EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA %I'
                ' TO fanmemory_writer', schema);
            -- Older servers let the owner alone vacuum.
            IF current_setting('server_version_num')::int >= 170000 THEN
                EXECUTE format('GRANT MAINTAIN ON ALL TABLES IN SCHEMA %I TO fanmemory_writer',
                    schema);
            END IF;
        END LOOP;
        REVOKE INSERT, UPDATE, DELETE ON migration FROM fanmemory_writer;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'fanmemory_reader')
        AND current_user <> 'fanmemory_reader'
    THEN
        FOREACH reads IN ARRAY ARRAY['migration', 'generation', 'position', 'key_binding', 'log_break',
            'dead_letter_count', 'revocation', 'revocation_revision', 'suppression', 'suppression_key',
            'subject', 'interaction', 'quarantine', 'creator_key', 'retention', 'history_retention',
            'platform_connection', 'workflow', 'draft',
            'decision', 'usage', 'campaign', 'refused', 'day_key']
        LOOP
            EXECUTE format('GRANT SELECT ON %I TO fanmemory_reader', reads);
        END LOOP;
        EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
        -- How much waits, not what.
        GRANT SELECT (topic, id, records, created_at) ON outbox_pack TO fanmemory_reader;
        GRANT SELECT (topic, id, refused, created_at) ON outbox_record TO fanmemory_reader;
        GRANT USAGE ON SCHEMA public TO fanmemory_reader;
        FOREACH schema IN ARRAY generations LOOP
            EXECUTE format('GRANT USAGE ON SCHEMA %I TO fanmemory_reader', schema);
            EXECUTE format('GRANT SELECT ON %I.fan_state TO fanmemory_reader', schema);
        END LOOP;
    END IF;
END
$grant$;

-- What a connection's role may do that none of ours should.
-- name: powers
SELECT rolname AS name, rolsuper OR EXISTS (
        SELECT FROM pg_roles AS above WHERE rolsuper AND pg_has_role(r.oid, above.oid, 'MEMBER')
    ) AS superuser, rolbypassrls AS bypasses,
    EXISTS (
        SELECT FROM pg_class WHERE oid = to_regclass('public.subject')
            AND pg_has_role(r.oid, relowner, 'MEMBER')
    ) AS owner
FROM pg_roles AS r WHERE rolname = current_user;
