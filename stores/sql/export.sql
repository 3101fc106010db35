-- Export: everything that is remembered of one fan, a batch at a time.

-- Who it is.
-- name: subject
SELECT subject, creator_id, fan_id, kek, wrapped_key,
    (SELECT state <> 'bound' FROM key_binding) AS unbound_opens, created_at
FROM subject WHERE creator_id = $1 AND fan_id = $2;

-- How many events there are.
-- name: count
SELECT count(*) FROM interaction WHERE subject = $1;

-- Where they stand, in the order of the log.
-- name: places
SELECT event_key FROM interaction WHERE subject = $1 ORDER BY "offset", event_key;

-- These, with where each stands in the journal.
-- name: events
SELECT event_key, partition, "offset", body, edited_by IS NOT NULL AS edited
FROM interaction WHERE subject = $1 AND event_key = ANY ($2::bytea[]);

-- Whether they are remembered still.
-- name: remembered
SELECT EXISTS (SELECT FROM subject WHERE subject = $1) AS remembered;

-- Journal records that could not be folded.
-- name: quarantined
SELECT partition, "offset", reason, value, at FROM quarantine WHERE subject = $1
ORDER BY partition, "offset";

-- What the LLM agent was asked to do about the fan.
-- name: workflows
SELECT workflow FROM workflow WHERE subject = $1 ORDER BY created_at, workflow;

-- What calls of providers about the fan cost.
-- name: usage
SELECT workflow, call, provider, model, type, state, cost, input, output, began_at FROM usage
WHERE subject = $1 ORDER BY began_at, workflow, call;
