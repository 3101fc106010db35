-- The newest epoch that was claimed of each position row, kept beside the row: `fanmemory verify`
-- holds the two against each other. A row whose epoch was lowered would let a former owner in again.
CREATE TABLE claim (
    generation integer NOT NULL,
    topic      text NOT NULL,
    partition  integer NOT NULL,
    epoch      bigint NOT NULL,
    claimed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (generation, topic, partition)
);
