-- Dead letters, counted by their reason.

-- More of one reason, of one partition of a topic.
-- name: count
INSERT INTO dead_letter_count AS c (topic, partition, reason, letters) VALUES ($1, $2, $3, $4)
ON CONFLICT (topic, partition, reason) DO UPDATE SET letters = c.letters + excluded.letters;

-- Of all partitions.
-- name: counts
SELECT reason, sum(letters)::bigint AS letters FROM dead_letter_count GROUP BY reason
ORDER BY reason;
