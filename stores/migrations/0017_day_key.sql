-- readers from: 7
-- Keys of a day: for dead letters of nobody who is known. Destroyed when their topic has let go of them.
CREATE TABLE day_key (
    day         date PRIMARY KEY,
    kek         text NOT NULL,
    wrapped_key bytea NOT NULL
);
