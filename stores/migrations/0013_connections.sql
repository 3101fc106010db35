-- readers from: 7
-- Connections to platforms: whose webhooks are taken, and what each delivery is checked with.
CREATE TABLE platform_connection (
    connection text PRIMARY KEY,
    platform   text NOT NULL,
    creator_id text NOT NULL,
    -- The secret and the options, sealed under the keyring and bound to the row's other columns.
    kek        text NOT NULL,
    sealed     bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
