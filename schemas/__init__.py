"""What flows: events, journal records, documents, updates, topics, positions, errors.

`events` (what services send) → `journal` (what ingest writes) → `context` (what readers get);
`updates` and `dead_letters` are what else is published; `topics` names every topic.
"""
