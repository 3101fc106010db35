-- readers from: 7
-- Since when a fan waits for an answer, beside each state; 0: nothing waits. The states of a former
-- release know nothing of it, and a rebuild writes those that do into a generation of their own.
DO $$
DECLARE one text;
BEGIN
    FOR one IN SELECT format('g%s', generation) FROM generation LOOP
        EXECUTE format('
            ALTER TABLE %1$I.fan_state ADD COLUMN waiting_since bigint;
            CREATE INDEX fan_state_waiting
                ON %1$I.fan_state (creator_hash, (-waiting_since), subject) WHERE waiting_since > 0;
        ', one);
    END LOOP;
END
$$;
