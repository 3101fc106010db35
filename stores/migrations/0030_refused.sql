-- readers from: 7
-- What was refused, or conflicts with a known event, for who asks what became of an event. The newest million, and
-- no longer than the letters' topic keeps them.
CREATE TABLE refused (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- Its place in interactions, and Kafka's time of it, ms.
    partition    integer NOT NULL,
    "offset"     bigint NOT NULL,
    refused_at   bigint NOT NULL,
    creator_id   text NOT NULL,
    -- Keyed hashes of creator and fan, and of the event's id; null where none could be read.
    relationship bytea,
    event        bytea,
    field        text NOT NULL,
    reason       text NOT NULL,
    -- Fan, eventId and type, sealed as the letter is, and what under.
    key          text NOT NULL,
    sealed       bytea NOT NULL,
    UNIQUE (partition, "offset", refused_at)
);
CREATE INDEX refused_creator ON refused (creator_id, id);
CREATE INDEX refused_relationship ON refused (relationship, event) WHERE relationship IS NOT NULL;
CREATE INDEX refused_old ON refused (refused_at);
ALTER TABLE refused ALTER COLUMN sealed SET STATISTICS 0;
