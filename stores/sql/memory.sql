-- What project writes and readers read. {generation} is the schema of one generation.

-- One statement, so one snapshot: state and events belong together, and `readable` says whether
-- these are the tables to read (see readable_generation). What tells facts may be among the others, too.
-- name: read_fans
SELECT (SELECT generation FROM generation WHERE view_version = $4 AND status <> 'building'
        ORDER BY status = 'live' DESC, generation DESC LIMIT 1) AS readable,
    s.fan_id, s.subject, s.kek, s.wrapped_key,
    (SELECT state <> 'bound' FROM key_binding) AS unbound_opens,
    f.version, f.state, m.event_keys, m.offsets, m.times, m.bodies, m.edits, m.edit_bodies
FROM subject s
JOIN {generation}.fan_state f USING (subject)
CROSS JOIN LATERAL (
    SELECT array_agg(newest.event_key) AS event_keys, array_agg(newest."offset") AS offsets,
        array_agg(newest.time) AS times, array_agg(newest.body) AS bodies,
        array_agg(newest.edited_by) AS edits, array_agg(e.body) AS edit_bodies
    FROM (
        (SELECT event_key, "offset", time, body, edited_by FROM interaction i
        WHERE i.subject = s.subject AND message
        ORDER BY time DESC, "offset" DESC LIMIT $3)
        UNION ALL
        (SELECT event_key, "offset", time, body, edited_by FROM interaction i
        WHERE i.subject = s.subject AND indirect
        ORDER BY time DESC, "offset" DESC LIMIT $5)
        UNION ALL
        (SELECT event_key, "offset", time, body, edited_by FROM interaction i
        WHERE i.subject = s.subject AND note
        ORDER BY time DESC, "offset" DESC LIMIT $6)
        UNION ALL
        (SELECT event_key, "offset", time, body, edited_by FROM interaction i
        WHERE i.subject = s.subject AND told AND (message OR indirect OR note)
        ORDER BY time DESC, "offset" DESC LIMIT $7)
    ) AS newest
    LEFT JOIN interaction e ON e.subject = s.subject AND e.event_key = newest.edited_by
) AS m
WHERE s.creator_id = $1 AND s.fan_id = ANY($2::text[]);

-- The states of some subjects of a creator's: one row for each that is asked for, as below.
-- name: read_states
SELECT (SELECT generation FROM generation WHERE view_version = $3 AND status <> 'building'
        ORDER BY status = 'live' DESC, generation DESC LIMIT 1) AS readable,
    asked.subject, s.fan_id, s.kek, s.wrapped_key,
    (SELECT state <> 'bound' FROM key_binding) AS unbound_opens, f.state
FROM unnest($2::uuid[]) AS asked (subject)
LEFT JOIN subject s ON s.subject = asked.subject AND s.creator_id = $1
LEFT JOIN {generation}.fan_state f ON f.subject = s.subject;

-- One row for each fan that is asked for, so that `readable` comes along whatever is missing: the
-- fan, or the generation.
-- name: read_sources
SELECT (SELECT generation FROM generation WHERE view_version = $6 AND status <> 'building'
        ORDER BY status = 'live' DESC, generation DESC LIMIT 1) AS readable,
    asked.fan_id, p.sources, p.partition, p.next
FROM unnest($2::text[]) AS asked (fan_id)
LEFT JOIN subject s ON s.creator_id = $1 AND s.fan_id = asked.fan_id
LEFT JOIN position p ON p.generation = $5 AND p.topic = $3
    AND p.partition = ('x' || encode(substr(uuid_send(s.subject), 1, 4), 'hex'))::bit(32)::bigint % $4;

-- Who stands for a fan.
-- name: find_subject
SELECT subject FROM subject WHERE creator_id = $1 AND fan_id = $2;

-- What a fan's history would cost, before it is read; at most $3 entries are looked at.
-- The length of a body is known without reading it.
-- name: weigh_history
SELECT s.subject, s.kek, s.wrapped_key, (SELECT state <> 'bound' FROM key_binding) AS unbound_opens,
    weighed.entries, weighed.bytes
FROM subject s
CROSS JOIN LATERAL (
    SELECT count(*) AS entries, coalesce(sum(octet_length(body)), 0)::bigint AS bytes
    FROM (SELECT body FROM interaction i WHERE i.subject = s.subject LIMIT $3) AS bodies
) AS weighed
WHERE s.creator_id = $1 AND s.fan_id = $2;

-- All of it is wanted, and the reader sorts it: no index for the order has to be kept.
-- name: read_history
SELECT event_key, "offset", body FROM interaction WHERE subject = $1 LIMIT $2;
