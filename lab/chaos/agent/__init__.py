"""Proofs of the LLM agent: intents flow while it is killed at every step that has a name.

plan     how many, and where it is killed, in an order drawn from the seed
sink     where messages are sent to: it keeps what it was given, by Idempotency-Key
asking   publishes fans and intents, and approves what waits for it
checks   what must be true when all is quiet
run      one run: system, kills, checks, the whole log once more
"""
