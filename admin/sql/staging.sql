-- Events of a file, judged and put into the order of time; a file of SQLite's that lives as long as one command.

-- Its one table.
-- name: create
CREATE TABLE event (
    creator TEXT NOT NULL,
    fan     TEXT NOT NULL,
    kind    TEXT NOT NULL,
    id      TEXT NOT NULL,
    other   BLOB NOT NULL,  -- empty for the first of an identity, a digest for what conflicts with it
    time    INTEGER NOT NULL,
    value   BLOB NOT NULL,
    PRIMARY KEY (creator, fan, kind, id, other)
);

-- One more, unless it is there.
-- name: add
INSERT INTO event (creator, fan, kind, id, other, time, value) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO NOTHING;

-- The first that came of an identity.
-- name: first
SELECT value FROM event WHERE creator = ? AND fan = ? AND kind = ? AND id = ? AND other = x'';

-- For the few imports that look for an event without knowing its fan.
-- name: index
CREATE INDEX IF NOT EXISTS event_by_id ON event (id, kind);

-- Two at most of those who have an event.
-- name: fans_with
SELECT DISTINCT fan FROM event WHERE kind = ? AND id = ? LIMIT 2;

-- How many fans there are.
-- name: fans
SELECT count(*) FROM (SELECT DISTINCT creator, fan FROM event);

-- How many identities, how many events beside the first of theirs, and from when until when.
-- name: span
SELECT count(*) FILTER (WHERE other = x''), count(*) FILTER (WHERE other != x''), min(time), max(time)
FROM event;

-- What will not count, because another of its identity comes before it.
-- name: conflicting
SELECT value FROM (
    SELECT value, row_number() OVER (PARTITION BY creator, fan, kind, id ORDER BY time, rowid) AS place
    FROM event
) WHERE place > 1;

-- Among equal times, as they came.
-- name: in_order
SELECT value FROM event ORDER BY time, rowid LIMIT -1 OFFSET ?;
