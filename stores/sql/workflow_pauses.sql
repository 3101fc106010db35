-- Providers that are left alone.

-- From now on; a longer pause stays.
-- name: put_pause
INSERT INTO provider_pause AS p (provider, until, cause, settings)
VALUES ($1, clock_timestamp() + $2::float8 * interval '1 second', $3, $4)
ON CONFLICT (provider) DO UPDATE SET cause = excluded.cause, settings = excluded.settings,
    until = CASE WHEN p.cause = excluded.cause AND p.settings = excluded.settings
        THEN greatest(p.until, excluded.until) ELSE excluded.until END;

-- Those of now.
-- name: pauses
SELECT provider, cause, settings,
    extract(epoch FROM until - clock_timestamp())::float8 AS seconds
FROM provider_pause WHERE until > clock_timestamp();
