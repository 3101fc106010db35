-- Two generations side by side: {former} and {next} are their schemas.

-- name: count
SELECT count(*) AS fans, count(*) FILTER (WHERE f.version = n.version) AS comparable,
    count(*) FILTER (WHERE f.version = n.version AND f.state <> n.state) AS changed
FROM {former}.fan_state AS f FULL JOIN {next}.fan_state AS n USING (subject);

-- name: changed
SELECT f.subject, f.state AS former, n.state AS next
FROM {former}.fan_state AS f JOIN {next}.fan_state AS n USING (subject)
WHERE f.version = n.version AND f.state <> n.state;
