"""The fault suite: events flow while everything they flow through is killed, paused and flushed.

plan      what will be done, in an order drawn from the seed
fleet     worker processes that are killed, paused, armed, joined and let go
emitter   publishes every event exactly once, whatever happens to the broker
reader    asks the API for contexts meanwhile
faults    does what the plan says: to workers itself, to services by the registry
fault     what a fault of a service is: `inject`, `seen`, `heal`; and what it may lay hands on
registry  every such fault by name: kills, cache, records, side, logs, restored, disks
checks    what must be true afterwards
run       one run: system, faults, checks
verdict   what a run ends with, and the system that it has of its own
erasing   the same for erasing: rounds of their own, and what they may leave
agent     the same for the LLM agent: intents, sends, costs
"""
