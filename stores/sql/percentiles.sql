-- Where a creator's fans stand among each other. {generation} is the schema of one generation.

-- The ranks at these fractions of all the creator's fans, the smallest first, by the index in its
-- order: 8 ms for 100,000 fans. Without fans who never did anything; null if there is nobody.
-- name: ranks
SELECT percentile_disc($2::double precision[]) WITHIN GROUP (ORDER BY rank) AS ranks
FROM (
    (SELECT by_rank AS rank FROM {generation}.fan_state
    WHERE creator_hash = $1 AND by_rank IS NOT NULL AND by_rank > '-infinity' ORDER BY by_rank)
    UNION ALL
    (SELECT rank FROM {generation}.fan_state
    WHERE creator_hash = $1 AND ordered IS NULL AND rank > '-infinity' ORDER BY rank)
    ORDER BY rank
) AS all_of_them;
