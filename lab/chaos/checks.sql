-- What the checks read of the live views, apart from the code that writes them.

-- Every fan's state, by who it is. {generation} is the schema of the live generation.
-- name: fans
SELECT f.subject, f.version, f.state
FROM {generation}.fan_state f JOIN subject s USING (subject);
