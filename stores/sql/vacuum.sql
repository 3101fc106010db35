-- Vacuum: what was erased is to leave the tables' pages, too.

-- Whether something was erased lately, and no vacuum has been here for a while.
-- name: due
SELECT EXISTS (SELECT FROM erased_subject WHERE at > now() - $1::float8 * interval '1 second')
    AND coalesce(greatest(last_vacuum, last_autovacuum), '-infinity')
        < now() - $2::float8 * interval '1 second'
FROM pg_stat_user_tables WHERE relid = 'subject'::regclass;

-- One worker at a time, until its connection ends.
-- name: lock
SELECT pg_try_advisory_lock($1);

-- The tables that all generations share; `subject` last, whose time says that it was done.
-- name: vacuum
VACUUM interaction, quarantine, refused, outbox_record, outbox_pack, workflow, draft, decision, answer, usage, send_slot,
    hold, erasure, forgetting, subject;

-- The states of one generation, whose schema is {generation}.
-- name: vacuum_states
VACUUM {generation}.fan_state;
