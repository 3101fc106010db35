"""What happens to an event: Kafka → ingest → journal → projection.

`transport` is the batched path through Faust, `batching` runs one unit of work at a time, `ingest`
and `projection` are the two steps, `cache_writer` follows them in Redis, `watchdog` ends a worker
that stands still, `app` puts them together.
"""
