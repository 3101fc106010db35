-- Forgettings: some events of a fan that are to be forgotten, and how far each request has got.

-- A request.
-- name: begin
INSERT INTO forgetting (erasure, creator_id, kek, sealed) VALUES ($1, $2, $3, $4);

-- A request that this database had lost, and whose events are out of the views by now. The order that
-- was given for it may be met once more, or is given again.
-- name: begin_again
INSERT INTO forgetting (erasure, creator_id, kek, sealed, hidden) VALUES ($1, $2, $3, $4, true)
ON CONFLICT (erasure) DO UPDATE SET hidden = true, taken_at = NULL, completed_at = NULL,
    kek = excluded.kek, sealed = excluded.sealed, drops = forgetting.drops + 1;

-- Ingest has come to the order, which counts once: a copy of it changes nothing. The record itself counts
-- again when it is read again, since the journal had lost what was made of it. Whether the events were out
-- of the views already.
-- name: take
INSERT INTO forgetting AS f
    (erasure, creator_id, kek, sealed, ordered_at, partition, "offset", taken_at)
VALUES ($1, $2, $3, $4, clock_timestamp(), $5, $6, clock_timestamp())
ON CONFLICT (erasure) DO UPDATE SET ordered_at = coalesce(f.ordered_at, clock_timestamp()),
    partition = excluded.partition, "offset" = excluded."offset", taken_at = clock_timestamp(),
    completed_at = NULL, kek = excluded.kek, sealed = excluded.sealed, hidden = false
WHERE f.taken_at IS NULL
    OR f.partition = excluded.partition AND f."offset" = excluded."offset"
RETURNING coalesce((SELECT hidden FROM forgetting WHERE erasure = $1), false);

-- Ingest has come to it, and can't do it yet: it is given again.
-- name: postpone
INSERT INTO forgetting AS f (erasure, creator_id, kek, sealed, ordered_at, partition, "offset")
VALUES ($1, $2, $3, $4, clock_timestamp(), $5, $6)
ON CONFLICT (erasure) DO UPDATE SET ordered_at = clock_timestamp(),
    partition = excluded.partition, "offset" = excluded."offset"
WHERE f.taken_at IS NULL;

-- The rows of a journal partition, held against its writers.
-- name: hold
SELECT generation FROM position WHERE topic = $1 AND partition = $2 ORDER BY generation FOR UPDATE;

-- What of a journal partition ingest knows to be there: the offset behind it.
-- name: written
SELECT coalesce(max(acknowledged[2 * $2::int + 1]), -1) + 1 FROM position
WHERE generation = 0 AND topic = $1 AND cardinality(acknowledged) > 2 * $2::int;

-- How far the live views have got there.
-- name: folded
SELECT coalesce(max(p.next), 0) FROM position AS p JOIN generation AS g USING (generation)
WHERE g.status = 'live' AND p.topic = $1 AND p.partition = $2;

-- Whom it left behind: nobody stands for this subject any more.
-- name: took
INSERT INTO erased_subject (subject, erasure, states, events, quarantined, ledger)
VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (subject) DO NOTHING;

-- What is left to do for these.
-- name: unfinished_of
SELECT f.erasure, f.kek, f.sealed, f.ordered_at IS NULL AS unordered, f.drops, f.dropped, u.unnoted,
    u.ledger
FROM forgetting AS f CROSS JOIN LATERAL (
    SELECT coalesce(array_agg(s.subject), '{}') AS unnoted, coalesce(array_agg(s.ledger), '{}') AS ledger
    FROM erased_subject AS s WHERE s.erasure = f.erasure AND NOT s.noted
) AS u
WHERE f.erasure = ANY ($1::uuid[]) AND f.completed_at IS NULL;

-- What is left to do for all: whoever was asked has had a second for it. An order that ingest has
-- read past without doing it, or that nobody has met for long, is given again. What is of a later time
-- than now is of before the clock was set back.
-- name: unfinished
SELECT f.erasure, f.kek, f.sealed, f.taken_at IS NULL AND (
        f.ordered_at IS NULL OR f.ordered_at > now() + interval '1 minute'
        OR f.ordered_at < now() - interval '10 minutes'
        OR f.ordered_at < now() - interval '10 seconds' AND EXISTS (
            SELECT FROM position AS p
            WHERE p.generation = 0 AND p.partition = f.partition AND p.next > f."offset"
        )
    ) AS unordered, f.drops, f.dropped, u.unnoted, u.ledger
FROM forgetting AS f CROSS JOIN LATERAL (
    SELECT coalesce(array_agg(s.subject), '{}') AS unnoted, coalesce(array_agg(s.ledger), '{}') AS ledger
    FROM erased_subject AS s WHERE s.erasure = f.erasure AND NOT s.noted
) AS u
WHERE f.completed_at IS NULL
    AND (f.taken_at IS NOT NULL
        OR f.requested_at NOT BETWEEN now() - interval '1 second' AND now() + interval '1 minute')
ORDER BY f.requested_at LIMIT $1;

-- What the cache has not confirmed.
-- name: undropped
SELECT erasure, kek, sealed, false AS unordered, drops, dropped, '{}'::uuid[] AS unnoted,
    '{}'::bytea[] AS ledger
FROM forgetting WHERE completed_at IS NULL AND dropped < drops ORDER BY requested_at LIMIT $1;
