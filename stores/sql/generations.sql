-- Generations: which build of the views is live. {generation} is the schema of one generation.

-- The live generation's row; readers of it that lock nothing.
-- name: live
SELECT generation, view_version, status, journal_partitions FROM generation WHERE status = 'live';

-- For a claim: a switch of generations waits for it, and it for a switch.
-- name: lock_live
SELECT generation, view_version, status, journal_partitions FROM generation WHERE status = 'live'
FOR SHARE;

-- For the switch itself: it holds new claims back.
-- name: lock_live_for_switch
SELECT generation, view_version, status, journal_partitions FROM generation WHERE status = 'live'
FOR UPDATE;

-- What code of one view version may read: the live generation, or after a switch to another
-- version the former one as the switch left it, until that code is replaced.
-- name: readable
SELECT generation, view_version, status, journal_partitions FROM generation
WHERE view_version = $1 AND status <> 'building'
ORDER BY status = 'live' DESC, generation DESC LIMIT 1;

-- Every generation, the oldest first.
-- name: all
SELECT generation, view_version, status, journal_partitions FROM generation ORDER BY generation;

-- A generation's row; its tables are made by `create_tables` in the same transaction.
-- name: create
INSERT INTO generation (generation, view_version, status, live_at)
VALUES ($1, $2, $3, CASE WHEN $3 = 'live' THEN now() END);

-- The tables of one generation, made when its build begins.
-- name: create_tables
CREATE SCHEMA {generation};
CREATE TABLE {generation}.fan_state (
    subject uuid PRIMARY KEY,
    -- Journal offset + 1 of the newest folded record: larger is newer.
    version bigint NOT NULL,
    -- Sealed (stores/sealing.py).
    state   bytea NOT NULL,
    -- Of the state, to find fans by (views/segments.py). Null where code wrote that knew of none.
    creator_hash     bigint,
    rank             double precision,
    revenue          bigint,
    last_interaction bigint,
    traits           bigint,
    -- The version that these are of; a worker writes them again where it is another.
    indexed_version  bigint,
    -- Of the state, too: ms, 0 where no message waits for an answer.
    waiting_since    bigint,
    -- Whether the fan stands in the indexes of the orders; null: among those of a creator who are
    -- looked at one by one, whose columns no index has, so that an update stays in its page.
    ordered          boolean,
    by_rank          double precision GENERATED ALWAYS AS (CASE WHEN ordered THEN rank END) STORED,
    by_revenue       bigint GENERATED ALWAYS AS (CASE WHEN ordered THEN revenue END) STORED,
    by_last_interaction bigint
        GENERATED ALWAYS AS (CASE WHEN ordered THEN last_interaction END) STORED,
    by_waiting       bigint GENERATED ALWAYS AS
        (CASE WHEN ordered AND waiting_since > 0 THEN -waiting_since END) STORED,
    unindexed        boolean GENERATED ALWAYS AS
        (CASE WHEN indexed_version IS DISTINCT FROM version THEN true END) STORED
) WITH (fillfactor = 70);
CREATE INDEX fan_state_rank ON {generation}.fan_state (creator_hash, by_rank, subject)
    WHERE by_rank IS NOT NULL;
CREATE INDEX fan_state_revenue ON {generation}.fan_state (creator_hash, by_revenue, subject)
    WHERE by_revenue IS NOT NULL;
CREATE INDEX fan_state_last_interaction
    ON {generation}.fan_state (creator_hash, by_last_interaction, subject)
    WHERE by_last_interaction IS NOT NULL;
CREATE INDEX fan_state_waiting ON {generation}.fan_state (creator_hash, by_waiting, subject)
    WHERE by_waiting IS NOT NULL;
CREATE INDEX fan_state_unordered ON {generation}.fan_state (creator_hash) WHERE ordered IS NULL;
CREATE INDEX fan_state_unindexed ON {generation}.fan_state (subject) WHERE unindexed;
-- Remember the journal's partition count where none is known yet.
-- name: remember_partitions
UPDATE generation SET journal_partitions = $1 WHERE journal_partitions IS NULL;

-- The live generation becomes a former one: readers of its version may still read it.
-- name: retire
UPDATE generation SET status = 'former' WHERE generation = $1 AND status = 'live';

-- A finished build becomes the live generation.
-- name: promote
UPDATE generation SET status = 'live', live_at = now() WHERE generation = $1 AND status = 'building';

-- The tables of a generation that is not read any more.
-- name: drop_tables
DROP SCHEMA IF EXISTS {generation} CASCADE;

-- The row of a generation, never that of the live one.
-- name: drop
DELETE FROM generation WHERE generation = $1 AND status <> 'live';
