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

-- Dead letters that were published again: they are not offered another time.
CREATE TABLE dead_letter_retried (
    source     text NOT NULL,
    -- Kafka's time of the refused record: after a log was made again its place has another one.
    refused_at text NOT NULL,
    retried_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (source, refused_at)
);
