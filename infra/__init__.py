"""How other systems are reached: settings, logs, named SQL, Postgres, Kafka, and failing well.

`settings` is the one frozen object; `postgres` and `producer` make connections; `breaker` decides
how a dependency that may be down is treated; `failpoints` are where the fault suite kills us.
"""
