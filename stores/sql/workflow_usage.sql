-- Calls of providers, and budgets.

-- The rows of today and of this month, where there are none yet.
-- name: begin_budgets
INSERT INTO budget (scope, id, period, starts)
SELECT scope, id, period, date_trunc(period, now() AT TIME ZONE 'UTC')::date
FROM unnest($1::text[], $2::text[], $3::text[]) AS x (scope, id, period)
ORDER BY scope, id, period
ON CONFLICT DO NOTHING;

-- In one order for everybody, so that nobody waits in a circle.
-- name: lock_budgets
SELECT FROM budget AS b
JOIN unnest($1::text[], $2::text[], $3::text[]) AS x (scope, id, period) USING (scope, id, period)
WHERE b.starts = date_trunc(b.period, now() AT TIME ZONE 'UTC')::date
ORDER BY b.scope, b.id, b.period FOR UPDATE OF b;

-- Raises those that are not exceeded by it; fewer rows than asked for: one would be.
-- name: raise_budgets
UPDATE budget AS b SET money = b.money + $6, tokens = b.tokens + $7
FROM unnest($1::text[], $2::text[], $3::text[], $4::numeric[], $5::bigint[])
    AS x (scope, id, period, money, tokens)
LEFT JOIN budget_limit AS l USING (scope, id, period)
WHERE b.scope = x.scope AND b.id = x.id AND b.period = x.period
    AND b.starts = date_trunc(x.period, now() AT TIME ZONE 'UTC')::date
    AND b.money + $6 <= coalesce(l.money, x.money)
    AND b.tokens + $7 <= coalesce(l.tokens, x.tokens)
RETURNING b.scope, b.id, b.period, b.starts, b.warned,
    greatest(b.money / nullif(coalesce(l.money, x.money), 0),
        b.tokens::numeric / nullif(coalesce(l.tokens, x.tokens), 0)) AS share;

-- That 80 % of it are spent is told once.
-- name: warned
UPDATE budget SET warned = true WHERE scope = $1 AND id = $2 AND period = $3 AND starts = $4;

-- How many of today's and this month's are spent to 80 %, of each kind.
-- name: warned_budgets
SELECT scope, period, count(*) FILTER (WHERE warned)::int
FROM (VALUES ('user', 'day'), ('user', 'month'), ('creator', 'day'), ('creator', 'month'))
    AS kind (scope, period)
LEFT JOIN LATERAL (
    SELECT warned FROM budget AS b WHERE b.scope = kind.scope AND b.period = kind.period
        AND b.starts = date_trunc(kind.period, now() AT TIME ZONE 'UTC')::date
) AS now ON true
GROUP BY scope, period;

-- A call that is to be made; its row of `workflow` is locked.
-- name: add_call
INSERT INTO usage (workflow, call, provider, model, type, creator_id, user_id, subject, trace_id,
    state, reserved, reserved_tokens, price_version)
SELECT $1, coalesce(max(call), 0) + 1, $2, $3, $4, $5, $6, $7, $8, 'reserved', $9, $10, $11
FROM usage WHERE workflow = $1
RETURNING call;

-- What a call took; nothing for one that is settled already.
-- name: settle_call
UPDATE usage SET state = $3, outcome = $4, cost = $5, input = $6, cached = $7, output = $8,
    reasoning = $9, estimated = $10, cache_hit = $11, price_version = $12, duration_ms = $13,
    model = $14
WHERE workflow = $1 AND call = $2 AND state = 'reserved'
RETURNING *;

-- The budgets that a call of that time was reserved in, in one order for everybody.
-- name: lock_budgets_of
SELECT FROM budget AS b
JOIN (SELECT DISTINCT * FROM unnest($1::text[], $2::text[]) AS u (scope, id)) AS x USING (scope, id)
WHERE b.starts = date_trunc(b.period, $3::timestamptz AT TIME ZONE 'UTC')::date
ORDER BY b.scope, b.id, b.period FOR UPDATE OF b;

-- The truth in the place of what was reserved.
-- name: correct_budgets
UPDATE budget AS b SET money = b.money + $4, tokens = b.tokens + $5
FROM (SELECT DISTINCT * FROM unnest($1::text[], $2::text[]) AS u (scope, id)) AS x
WHERE b.scope = x.scope AND b.id = x.id
    AND b.starts = date_trunc(b.period, $3::timestamptz AT TIME ZONE 'UTC')::date;

-- The calls since the workflow was begun, or begun again.
-- name: made_calls
SELECT provider, outcome FROM usage
WHERE workflow = $1 AND began_at > coalesce((
    SELECT max(decided_at) FROM decision WHERE workflow = $1 AND kind = 'retry'
), '-infinity')
ORDER BY call;

-- Workflows with a call that must have ended, and of which nothing was heard.
-- name: lost_calls
SELECT DISTINCT workflow FROM usage
WHERE state = 'reserved' AND began_at < clock_timestamp() - $1::float8 * interval '1 second'
LIMIT 100;

-- A workflow's calls whose answer nobody has got.
-- name: reserved_calls
SELECT call, model, reserved, reserved_tokens, price_version,
    (extract(epoch FROM clock_timestamp() - began_at) * 1000)::bigint AS ms
FROM usage WHERE workflow = $1 AND state = 'reserved' ORDER BY call FOR UPDATE;

-- What a creator's calls of a time cost, summed in five ways. A campaign has its own id's costs, too: the
-- report's.
-- name: costs
WITH calls AS (
    SELECT u.type, provider, u.subject, coalesce(input + output, reserved_tokens) AS tokens,
        coalesce(cost, reserved) AS cost, (u.state <> 'settled')::int AS unknown,
        coalesce(w.campaign, CASE w.type WHEN 'campaign_execution' THEN w.workflow END) AS campaign
    FROM usage AS u LEFT JOIN workflow AS w USING (workflow)
    WHERE u.creator_id = $1 AND began_at >= $2 AND began_at < $3
)
SELECT kind, name, count(*)::int, sum(tokens)::bigint, sum(cost), sum(unknown)::int
FROM calls, LATERAL (VALUES ('total', ''), ('type', type), ('provider', provider),
    ('fan', encode(uuid_send(subject), 'hex')), ('campaign', encode(uuid_send(campaign), 'hex'))) AS x (kind, name)
WHERE name IS NOT NULL
GROUP BY kind, name ORDER BY kind, sum(cost) DESC, name LIMIT 1000;

-- What somebody may spend from now on.
-- name: put_limit
INSERT INTO budget_limit (scope, id, period, money, tokens) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (scope, id, period) DO UPDATE SET money = excluded.money, tokens = excluded.tokens;
