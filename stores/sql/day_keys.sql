-- Keys of days.

-- Today's, made by whoever asks first.
-- name: make
INSERT INTO day_key (day, kek, wrapped_key) VALUES ($1, $2, $3) ON CONFLICT (day) DO NOTHING;

-- One day's.
-- name: find
SELECT kek, wrapped_key FROM day_key WHERE day = $1;

-- Those that nothing is left of.
-- name: destroy
DELETE FROM day_key WHERE day < $1;
