-- Events on their way in, put into the order of time; a file of SQLite's that lives for one import.

-- Its one table.
-- name: create
CREATE TABLE event (
    fan   TEXT NOT NULL,
    kind  TEXT NOT NULL,
    id    TEXT NOT NULL,
    time  INTEGER NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (fan, kind, id)
);

-- Of one identity the first counts, as at ingest.
-- name: add
INSERT INTO event (fan, kind, id, time, value) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING;

-- How many fans there are.
-- name: fans
SELECT count(DISTINCT fan) FROM event;

-- How many events, and from when until when.
-- name: span
SELECT count(*), min(time), max(time) FROM event;

-- Among equal times, as they came.
-- name: in_order
SELECT value FROM event ORDER BY time, rowid LIMIT -1 OFFSET ?;
