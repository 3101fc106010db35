-- Rolling one journal partition's views back to an offset ($2).

-- What was applied at or above it.
-- name: delete_history
DELETE FROM interaction WHERE partition = $1 AND "offset" >= $2 RETURNING subject;

-- What was quarantined at or above it; how many.
-- name: delete_quarantine
WITH gone AS (DELETE FROM quarantine WHERE partition = $1 AND "offset" >= $2 RETURNING 1)
SELECT count(*) FROM gone;

-- Takes the lost records out of the counters. Of the $6 lost offsets $4 were applied and $5 set
-- aside; the rest were repeats, then duplicates, then conflicts, then of forgotten fans: which is not
-- known, so each counter gives what it has, in that order. What is left had been applied, of fans who
-- were erased since.
-- name: uncount
UPDATE position SET applied = applied - $4
        - greatest(0, $6 - $4 - $5 - repeats - duplicates - conflicts - forgotten),
    quarantined = quarantined - $5,
    repeats = repeats - least(repeats, $6 - $4 - $5),
    duplicates = duplicates
        - least(duplicates, greatest(0, $6 - $4 - $5 - repeats)),
    conflicts = conflicts
        - least(conflicts, greatest(0, $6 - $4 - $5 - repeats - duplicates)),
    forgotten = forgotten
        - least(forgotten, greatest(0, $6 - $4 - $5 - repeats - duplicates - conflicts))
WHERE generation = $1 AND topic = $2 AND partition = $3;

-- The applied records of a stretch, to find where a changed journal still agrees.
-- name: nonces
SELECT "offset", substr(body, 1, $4) AS nonce FROM interaction
WHERE partition = $1 AND "offset" >= $2 AND "offset" < $3;

-- What was applied at or above it, as it was sealed.
-- name: applied_since
SELECT subject, event_key, partition, "offset", body FROM interaction
WHERE partition = $1 AND "offset" >= $2 ORDER BY "offset";

-- Of these records of a partition ($1), those that nobody has applied or set aside where they stand,
-- though their event is in no record below them: (offset, subject, event key, value, sealed body).
-- A record that is no frame has neither subject nor key.
-- name: unapplied
SELECT x."offset"
FROM unnest($2::bigint[], $3::uuid[], $4::bytea[], $5::bytea[], $6::bytea[])
    AS x ("offset", subject, event_key, value, body)
WHERE (x.subject IS NULL OR EXISTS (SELECT FROM subject AS s WHERE s.subject = x.subject))
  AND NOT EXISTS (
    SELECT FROM interaction AS i
    WHERE i.subject = x.subject AND i.event_key = x.event_key AND i."offset" < x."offset"
  )
  AND NOT EXISTS (
    SELECT FROM quarantine AS q
    WHERE q.partition = $1 AND q."offset" = x."offset" AND q.value IN (x.value, x.body)
  );
