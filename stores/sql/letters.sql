-- Dead letters, counted by their reason.

-- More of one reason, of one partition of a topic.
-- name: count
INSERT INTO dead_letter_count AS c (topic, partition, reason, letters) VALUES ($1, $2, $3, $4)
ON CONFLICT (topic, partition, reason) DO UPDATE SET letters = c.letters + excluded.letters;

-- Of all partitions.
-- name: counts
SELECT reason, sum(letters)::bigint AS letters FROM dead_letter_count GROUP BY reason
ORDER BY reason;

-- Which of these were published again.
-- name: retried
SELECT source, refused_at FROM unnest($1::text[], $2::text[]) AS w (source, refused_at)
JOIN dead_letter_retried USING (source, refused_at);

-- That they were.
-- name: remember_retried
INSERT INTO dead_letter_retried (source, refused_at)
SELECT * FROM unnest($1::text[], $2::text[]) ON CONFLICT DO NOTHING;

-- What was published again so long ago that the letters, which are older, are gone.
-- name: forget_retried
DELETE FROM dead_letter_retried WHERE retried_at < now() - $1::bigint * interval '1 ms';
