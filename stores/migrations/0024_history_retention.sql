-- readers from: 7
-- How long a creator keeps the events of a fan: a table of its own, since the former release reads `retention`
-- and would take whoever has no silent_days for an error.
CREATE TABLE history_retention (
    creator_id   text PRIMARY KEY,
    -- An event older than so many days is forgotten.
    history_days integer NOT NULL CHECK (history_days > 0),
    changed_at   timestamptz NOT NULL DEFAULT now()
);
