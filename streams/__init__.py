"""What happens to an event: Kafka → ingest → journal → projection.

transport     the batched path through Faust: a whole fetch per event, our start positions
batching      one unit of work at a time: gather, apply, retry
continuity    whether the log continues where we stopped
ingest        first step: `interactions` to the sealed `journal`
projection    second step: `journal` to states, history and outbox in Postgres
cache_writer  follows projection in Redis
watchdog      ends a worker that stands still
app           puts them together
"""
