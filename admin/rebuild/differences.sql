-- Two generations side by side: {former} and {next} are their schemas.

-- Fans of either generation: all, those at one version in both, and those of them that differ.
-- name: count
SELECT count(*) AS fans, count(*) FILTER (WHERE f.version = n.version) AS comparable,
    count(*) FILTER (WHERE f.version = n.version AND f.state <> n.state) AS changed
FROM {former}.fan_state AS f FULL JOIN {next}.fan_state AS n USING (subject);

-- The two states of each fan that differ, of those that stand at the same version.
-- name: changed
SELECT f.subject, f.state AS former, n.state AS next
FROM {former}.fan_state AS f JOIN {next}.fan_state AS n USING (subject)
WHERE f.version = n.version AND f.state <> n.state;
