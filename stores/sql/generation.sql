-- The tables of one generation, made when its build begins. {generation} is its schema.

-- name: create
CREATE SCHEMA {generation};
CREATE TABLE {generation}.fan_state (
    subject uuid PRIMARY KEY,
    -- Journal offset + 1 of the newest folded record: larger is newer.
    version bigint NOT NULL,
    state   bytea NOT NULL
) WITH (fillfactor = 70);
-- The same for people: the state as jsonb.
CREATE VIEW {generation}.fan_state_readable AS
SELECT subject, version, convert_from(state, 'UTF8')::jsonb AS state FROM {generation}.fan_state;
