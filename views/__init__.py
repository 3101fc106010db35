"""What is remembered of a fan, as pure functions of the journal: no clock, no I/O.

One module per view (`emotional_state`, `engagement`, `personality`, `preferences`, `offers`,
`inbox`, `messages`, `notes`, `facts`), each with its `State`, `fold`, `render` and `moved_by`;
`state` is the registry that holds them together, `context` renders all, `explain` says which events
moved a number, `changes` what happened since, `what_if` what would be, `corrections` what stands of
a history with edits and refunds, `segments` who belongs to a segment, `search` which messages have
some words, `purchases` what was paid; `decay`, `responses`, `acts` and `money` are shared.
"""
