-- A fan's messages beyond the newest, page by page.

-- The next messages of a fan before a place, the newest first, with the edits whose text they have: at
-- most $5 of them, and no more than one beyond $6 bytes. One row without a message if there is none.
-- The length of a body is known without reading it.
-- name: before
SELECT s.subject, s.kek, s.wrapped_key, (SELECT state <> 'bound' FROM key_binding) AS unbound_opens,
    m.event_key, m."offset", m.time, m.body, m.edited_by, m.edit_body, m.bytes
FROM subject s
LEFT JOIN LATERAL (
    SELECT * FROM (
        SELECT newest.*, e.body AS edit_body,
            sum(octet_length(newest.body) + coalesce(octet_length(e.body), 0))
                OVER (ORDER BY newest.time DESC, newest."offset" DESC) AS bytes,
            octet_length(newest.body) + coalesce(octet_length(e.body), 0) AS own
        FROM (
            (SELECT event_key, "offset", time, body, edited_by FROM interaction i
            WHERE i.subject = s.subject AND message AND (time, "offset") < ($3, $4)
            ORDER BY time DESC, "offset" DESC LIMIT $5)
            UNION ALL
            (SELECT event_key, "offset", time, body, edited_by FROM interaction i
            WHERE i.subject = s.subject AND indirect AND (time, "offset") < ($3, $4)
            ORDER BY time DESC, "offset" DESC LIMIT $5)
            ORDER BY time DESC, "offset" DESC LIMIT $5
        ) AS newest
        LEFT JOIN interaction e ON e.subject = s.subject AND e.event_key = newest.edited_by
    ) AS weighed
    WHERE bytes - own <= $6
) AS m ON true
WHERE s.creator_id = $1 AND s.fan_id = $2
ORDER BY m.time DESC, m."offset" DESC;
