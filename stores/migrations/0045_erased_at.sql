-- readers from: 7
-- An erasure is written down before anything is deleted, and this is when that was done; null: not yet, or as
-- part of ingest's coming to the order (`taken_at`). A former release deletes in the transaction that makes the row.
ALTER TABLE erasure ADD COLUMN erased_at timestamptz;
ALTER TABLE erasure ALTER COLUMN erased_at SET DEFAULT now();
