-- readers from: 7
-- Under which name, a keyed hash, the cache had the fan: so that a receipt can look there, too, when nobody
-- knows any more who it was. Null for what a former release began.
ALTER TABLE erasure ADD COLUMN cached bytea;
ALTER TABLE forgetting ADD COLUMN cached bytea;
