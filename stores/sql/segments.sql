-- Finding fans by the columns beside their states. {generation} is the schema of one generation;
-- {key} is what a page is ordered by, {by} its copy in the index, {type} its type.

-- Whether the columns of any state are still to be written; as a role that sees all rows. By the small
-- index, and not by the whole table, which would be thought the quicker way to what is not there.
-- name: unindexed
SELECT EXISTS (
    SELECT FROM (
        SELECT FROM {generation}.fan_state WHERE unindexed ORDER BY subject LIMIT 1
    ) AS first
);

-- The next fans of a creator in the order of the key, largest first, whose columns are within bounds:
-- at most $7 of the $6 rows looked at. The rows of the index and those that stand in none are read apart. The last row that was looked at comes along although it may not
-- fit: the next page begins behind it. One row without a subject if there is none.
-- name: page
SELECT now.readable, now.unbound_opens, found.place, found.key, found.subject,
    found.fits, s.fan_id, s.kek, s.wrapped_key, f.version, f.state
FROM (
    SELECT (SELECT generation FROM generation WHERE view_version = $5 AND status <> 'building'
            ORDER BY status = 'live' DESC, generation DESC LIMIT 1) AS readable,
        (SELECT state <> 'bound' FROM key_binding) AS unbound_opens
) AS now
LEFT JOIN (
    SELECT * FROM (
        SELECT subject, key, rank BETWEEN $8 AND $9 AND revenue BETWEEN $10 AND $11
                AND last_interaction BETWEEN $12 AND $13 AND traits & $14::bigint = $14
                AND waiting_since BETWEEN $15 AND $16 AS fits,
            row_number() OVER (ORDER BY key DESC, subject DESC) AS place
        FROM (
            (SELECT subject, {by} AS key, rank, revenue, last_interaction, traits, waiting_since
            FROM {generation}.fan_state
            WHERE creator_hash = $17 AND {by} IS NOT NULL AND {by} >= $4::{type}
                AND ({by}, subject) < ($2::{type}, $3::uuid)
            ORDER BY {by} DESC, subject DESC LIMIT $6)
            UNION ALL
            (SELECT subject, {key}, rank, revenue, last_interaction, traits, waiting_since
            FROM {generation}.fan_state
            WHERE creator_hash = $17 AND ordered IS NULL AND {key} >= $4::{type}
                AND ({key}, subject) < ($2::{type}, $3::uuid))
        ) AS all_of_them
        ORDER BY key DESC, subject DESC LIMIT $6
    ) AS looked_at
    WHERE fits OR place = $6
    LIMIT $7
) AS found ON true
LEFT JOIN {generation}.fan_state AS f ON found.fits AND f.subject = found.subject
LEFT JOIN subject AS s ON s.subject = f.subject AND s.creator_id = $1
ORDER BY found.place;

-- The same in the order of the fans' ids, which nothing moves.
-- name: by_id
SELECT now.readable, now.unbound_opens, found.place, found.fan_id AS key,
    found.subject, found.fits, found.fan_id, found.kek, found.wrapped_key, f.version, f.state
FROM (
    SELECT (SELECT generation FROM generation WHERE view_version = $3 AND status <> 'building'
            ORDER BY status = 'live' DESC, generation DESC LIMIT 1) AS readable,
        (SELECT state <> 'bound' FROM key_binding) AS unbound_opens
) AS now
LEFT JOIN (
    SELECT * FROM (
        SELECT s.subject, s.fan_id, s.kek, s.wrapped_key,
            c.rank BETWEEN $6 AND $7 AND c.revenue BETWEEN $8 AND $9
                AND c.last_interaction BETWEEN $10 AND $11 AND c.traits & $12::bigint = $12
                AND c.waiting_since BETWEEN $13 AND $14 AS fits,
            row_number() OVER (ORDER BY s.fan_id) AS place
        FROM subject AS s LEFT JOIN {generation}.fan_state AS c USING (subject)
        WHERE s.creator_id = $1 AND s.fan_id > $2 ORDER BY s.fan_id LIMIT $4
    ) AS looked_at
    WHERE fits OR place = $4
    LIMIT $5
) AS found ON true
LEFT JOIN {generation}.fan_state AS f ON found.fits AND f.subject = found.subject
ORDER BY found.place;
