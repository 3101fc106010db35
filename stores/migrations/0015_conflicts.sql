-- readers from: 7
-- Events of a known identity with other content, apart from duplicates: they are kept as dead letters.
ALTER TABLE position ADD COLUMN conflicts bigint NOT NULL DEFAULT 0;

-- How many dead letters there are of each reason, for the metrics.
CREATE TABLE dead_letter_count (
    topic     text NOT NULL,
    -- Of that topic: whoever holds it counts alone.
    partition integer NOT NULL,
    reason    text NOT NULL,
    letters   bigint NOT NULL,
    PRIMARY KEY (topic, partition, reason)
);
