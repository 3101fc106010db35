-- readers from: 7
-- Forgettings: events of a fan that are to be forgotten, and how far each request has got. Its columns are
-- those of `erasure`; a table of its own, so that no worker of a former release takes one for an erasure.
CREATE TABLE forgetting (
    erasure      uuid PRIMARY KEY,
    creator_id   text NOT NULL,
    -- The order, sealed under the keyring; null once it is completed.
    kek          text,
    sealed       bytea,
    requested_at timestamptz NOT NULL DEFAULT now(),
    -- When and where the order was written to interactions, and when ingest had done it.
    ordered_at   timestamptz,
    partition    integer,
    "offset"     bigint,
    taken_at     timestamptz,
    -- How often the cache had to forget, and how often it has confirmed.
    drops        integer NOT NULL DEFAULT 1,
    dropped      integer NOT NULL DEFAULT 0,
    completed_at timestamptz,
    -- Whether the events were taken out of the views before: the database was restored.
    hidden       boolean NOT NULL DEFAULT false
);
CREATE INDEX forgetting_pending ON forgetting (requested_at) WHERE completed_at IS NULL;

-- Of a subject that somebody stands for under a new one: what the topic erasures is to have of it.
ALTER TABLE erased_subject ADD COLUMN ledger bytea;
