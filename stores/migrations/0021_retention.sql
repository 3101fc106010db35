-- readers from: 7
-- How long a creator keeps what; who has no row keeps everything.
CREATE TABLE retention (
    creator_id  text PRIMARY KEY,
    -- A fan without events for so many days is erased.
    silent_days integer NOT NULL CHECK (silent_days > 0),
    changed_at  timestamptz NOT NULL DEFAULT now()
);
