-- readers from: 7
-- Fans of whom nothing more is to be remembered. Who they are stands nowhere: only a keyed hash.
CREATE TABLE suppression (
    hash  bytea PRIMARY KEY,
    since timestamptz NOT NULL DEFAULT now()
);

-- The hash's key, sealed under the keyring, so that it outlives each key of that; one row once there
-- has been a suppression. The revision counts changes, for whoever keeps a copy.
CREATE TABLE suppression_key (
    one      boolean PRIMARY KEY DEFAULT true CHECK (one),
    kek      text NOT NULL,
    sealed   bytea NOT NULL,
    revision bigint NOT NULL DEFAULT 0
);

-- Of ingest: records that were dropped since their fan was suppressed.
ALTER TABLE position ADD COLUMN suppressed bigint NOT NULL DEFAULT 0;

-- Which those were, as long as `interactions` may hold them: `fanmemory verify` misses none.
CREATE TABLE suppressed_record (
    partition integer NOT NULL,
    "offset"  bigint NOT NULL,
    at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (partition, "offset")
);
