-- readers from: 7
-- Key-encryption keys that were retired: nothing is wrapped by them, and nothing will be.
CREATE TABLE retired_key (
    kek        text PRIMARY KEY,
    retired_at timestamptz NOT NULL DEFAULT now()
);

-- A process that still wraps with such a key, since nobody restarted it, would seal what its owner is
-- about to throw the key away of. It is told to wait, as by a database that is not there, and the
-- watchdog ends it.
CREATE FUNCTION refuse_retired_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM retired_key WHERE kek = NEW.kek) THEN
        RAISE EXCEPTION 'this key was retired: restart this process with the keyring of today'
            USING ERRCODE = 'operator_intervention';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER refuse_retired_key BEFORE INSERT OR UPDATE OF kek ON subject
    FOR EACH ROW EXECUTE FUNCTION refuse_retired_key();
CREATE TRIGGER refuse_retired_key BEFORE INSERT OR UPDATE OF kek ON platform_connection
    FOR EACH ROW EXECUTE FUNCTION refuse_retired_key();
CREATE TRIGGER refuse_retired_key BEFORE INSERT OR UPDATE OF kek ON suppression_key
    FOR EACH ROW EXECUTE FUNCTION refuse_retired_key();
CREATE TRIGGER refuse_retired_key BEFORE INSERT OR UPDATE OF kek ON erasure
    FOR EACH ROW EXECUTE FUNCTION refuse_retired_key();
