-- readers from: 7
-- Columns to find fans by, beside each state. The former release writes states without them, and may
-- do so on beside this one: `indexed_version` says of which version the others are, and a worker
-- writes those again that are not of the state's own.
DO $$
DECLARE one text;
BEGIN
    FOR one IN SELECT format('g%s', generation) FROM generation LOOP
        EXECUTE format('
            ALTER TABLE %1$I.fan_state
                ADD COLUMN creator_hash bigint,
                ADD COLUMN rank double precision,
                ADD COLUMN revenue bigint,
                ADD COLUMN last_interaction bigint,
                ADD COLUMN traits bigint,
                ADD COLUMN indexed_version bigint;
            CREATE INDEX fan_state_rank ON %1$I.fan_state (creator_hash, rank, subject)
                WHERE creator_hash IS NOT NULL;
            CREATE INDEX fan_state_revenue ON %1$I.fan_state (creator_hash, revenue, subject)
                WHERE creator_hash IS NOT NULL;
            CREATE INDEX fan_state_last_interaction
                ON %1$I.fan_state (creator_hash, last_interaction, subject)
                WHERE creator_hash IS NOT NULL;
            CREATE INDEX fan_state_unindexed ON %1$I.fan_state (subject)
                WHERE indexed_version IS DISTINCT FROM version;
        ', one);
    END LOOP;
END
$$;
