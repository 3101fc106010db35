-- What results and traces say beside the workflow's own row.

-- What all calls of a workflow took, as far as it is known: of those under way, what is reserved.
-- name: spent
SELECT count(*)::int AS calls, coalesce(sum(coalesce(cost, reserved)), 0) AS cost,
    coalesce(sum(coalesce(input + output, reserved_tokens)), 0)::bigint AS tokens,
    coalesce(sum(duration_ms), 0)::bigint AS duration,
    (array_agg(provider ORDER BY call DESC))[1] AS provider
FROM usage WHERE workflow = $1;

-- Postgres' clock, in milliseconds.
-- name: now_ms
SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint;
