-- How many partitions the journal has: a fan's place in it depends on the count, so it never changes.
ALTER TABLE generation ADD COLUMN journal_partitions integer;
