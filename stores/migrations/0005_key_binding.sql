-- How subjects' keys are wrapped; one row. A bound wrapping names the relationship that the subject
-- stands for, so a swapped or renamed mapping opens nothing.
--   unbound: new keys are wrapped as by the former release, which may still run beside this one
--   binding: `fanmemory keys bind` has begun: new keys are bound, unbound ones still open
--   bound:   it has ended: an unbound wrapping that is put back opens nothing
CREATE TABLE key_binding (
    state      text NOT NULL CHECK (state IN ('unbound', 'binding', 'bound')),
    changed_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX key_binding_one ON key_binding ((true));
-- Where a worker has ever claimed something, the former release may be running.
INSERT INTO key_binding (state)
SELECT CASE WHEN EXISTS (SELECT FROM position) OR EXISTS (SELECT FROM subject)
    THEN 'unbound' ELSE 'bound' END;
