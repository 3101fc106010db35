"""What happens to an event: Kafka → ingest → journal → projection.

transport      the batched path through Faust: a whole fetch per event, our start positions
batching       one unit of work at a time: gather, apply, retry
step           what is done with a unit: the contract of the steps, and what they share
counts         what a step has done
unread         what was fetched and is not done
metrics        what Prometheus sees of a worker
unit_size      how many records a unit may have
lookout        once a second: what stands still, moved without us, or went backwards
advisory       how far we are, told to Kafka for lag tools only
partitions     one topic's partitions, by their numbers, as Faust's consumer has them
orders         into which units a fetch is cut for the orders among its events
continuity     whether the log continues where we stopped
second_copy    whether interactions still has what the journal lost
healing        what to do when a log is not the one that we remember
log_reader     single questions to a log: ends, records, tails
ingest         first step: `interactions` to the sealed `journal`
sifting        what each record of a unit is: an event, an order, a dead letter
sealing        the journal records of a unit's events
journal_writer writing them, and what the journal has acknowledged
forget_order   a unit that moves a fan without what is to be forgotten
projection     second step: `journal` to states, history and outbox in Postgres
ledger         nothing is folded before the database knows who was erased
intake         `intents` to workflows in Postgres
cache_writer   follows projection in Redis
watchdog       ends a worker that stands still
app            puts them together
process        runs the app: it starts before it stops
"""
