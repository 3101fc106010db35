"""What is remembered of a fan, as pure functions of the journal: no clock, no I/O.

One module per view (`emotional_state`, `engagement`, `personality`, `preferences`, `messages`), each
with its `State`, `fold` and `render`; `state` holds them together, `context` renders all, `explain`
says why; `decay` and `responses` are shared by several.
"""
