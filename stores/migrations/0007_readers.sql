-- From which code on a database serves: a release that does not know a newer migration goes on, and
-- starts again, if the newest migration that it does know is at least that one's `readers_from`.
ALTER TABLE migration ADD COLUMN readers_from integer;
