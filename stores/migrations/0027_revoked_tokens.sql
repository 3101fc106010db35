-- readers from: 7
-- Tokens that are good no more, before they expire: by their own id, or by their user.
CREATE TABLE revocation (
    what         text NOT NULL CHECK (what IN ('token', 'user')),
    -- A hash of the token's id (jti), or of the user's (sub).
    name         bytea NOT NULL,
    -- A user's tokens that were issued until then; null: that one token.
    issued_until timestamptz CHECK ((issued_until IS NULL) = (what = 'token')),
    -- No token that it is about can be valid then, so the row goes.
    forgotten_at timestamptz NOT NULL,
    PRIMARY KEY (what, name)
);
-- How often that has changed: one row.
CREATE TABLE revocation_revision (
    revision bigint NOT NULL
);
INSERT INTO revocation_revision VALUES (0);
