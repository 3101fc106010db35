-- readers from: 7
-- An update of a state is to stay in its page of the table again: no index may have a column that every
-- event changes. So only fans of creators who have many stand in the indexes of the orders; those of the
-- others are looked at one by one. The copies that the indexes have are generated, whoever writes.
-- Dropped are indexes that the former release knows nothing of.
DO $$
DECLARE one text;
BEGIN
    FOR one IN SELECT format('g%s', generation) FROM generation LOOP
        EXECUTE format('
            DROP INDEX %1$I.fan_state_rank, %1$I.fan_state_revenue, %1$I.fan_state_last_interaction,
                %1$I.fan_state_waiting, %1$I.fan_state_unindexed;
            ALTER TABLE %1$I.fan_state ADD COLUMN ordered boolean;
            UPDATE %1$I.fan_state SET ordered = true WHERE creator_hash IN (
                SELECT creator_hash FROM %1$I.fan_state GROUP BY 1 HAVING count(*) > 1000
            );
            ALTER TABLE %1$I.fan_state
                ADD COLUMN by_rank double precision
                    GENERATED ALWAYS AS (CASE WHEN ordered THEN rank END) STORED,
                ADD COLUMN by_revenue bigint
                    GENERATED ALWAYS AS (CASE WHEN ordered THEN revenue END) STORED,
                ADD COLUMN by_last_interaction bigint
                    GENERATED ALWAYS AS (CASE WHEN ordered THEN last_interaction END) STORED,
                ADD COLUMN by_waiting bigint GENERATED ALWAYS AS
                    (CASE WHEN ordered AND waiting_since > 0 THEN -waiting_since END) STORED,
                ADD COLUMN unindexed boolean GENERATED ALWAYS AS
                    (CASE WHEN indexed_version IS DISTINCT FROM version THEN true END) STORED;
            CREATE INDEX fan_state_rank ON %1$I.fan_state (creator_hash, by_rank, subject)
                WHERE by_rank IS NOT NULL;
            CREATE INDEX fan_state_revenue ON %1$I.fan_state (creator_hash, by_revenue, subject)
                WHERE by_revenue IS NOT NULL;
            CREATE INDEX fan_state_last_interaction
                ON %1$I.fan_state (creator_hash, by_last_interaction, subject)
                WHERE by_last_interaction IS NOT NULL;
            CREATE INDEX fan_state_waiting ON %1$I.fan_state (creator_hash, by_waiting, subject)
                WHERE by_waiting IS NOT NULL;
            CREATE INDEX fan_state_unordered ON %1$I.fan_state (creator_hash) WHERE ordered IS NULL;
            CREATE INDEX fan_state_unindexed ON %1$I.fan_state (subject) WHERE unindexed;
        ', one);
    END LOOP;
END
$$;
