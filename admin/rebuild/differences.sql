-- Two generations side by side: {former} and {next} are their schemas.

-- Fans of either generation: all, and those at one version in both.
-- name: count
SELECT count(*) AS fans, count(*) FILTER (WHERE f.version = n.version) AS comparable
FROM {former}.fan_state AS f FULL JOIN {next}.fan_state AS n USING (subject);

-- The two states of each fan who stands at the same version in both, with the fan's key.
-- name: comparable
SELECT s.subject, s.creator_id, s.fan_id, s.kek, s.wrapped_key,
    (SELECT state <> 'bound' FROM key_binding) AS unbound_opens, f.state AS former, n.state AS next
FROM {former}.fan_state AS f JOIN {next}.fan_state AS n USING (subject)
JOIN subject AS s USING (subject)
WHERE f.version = n.version;
