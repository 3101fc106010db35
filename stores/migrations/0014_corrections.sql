-- readers from: 7
-- An edit stands in a row of its own; the message that it changes names it, so that a reader finds the text
-- that counts. What was deleted is no `message` any more, and not `indirect`.
ALTER TABLE interaction ADD COLUMN edited_by bytea;
