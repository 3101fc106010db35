"""Where it is kept, and every transaction on our tables.

In Postgres:
migrate      brings a database up to date
generations  complete builds of all views, one of them live
positions    how far each partition has got, and the fence
marks        what a position remembers of the log below it
log_breaks   logs that went backwards, and what became of it
rollback     rolls a partition back when the journal lost its tail
attempts     finds the record that ends every worker that begins it
tally        what became of a partition's records
record       one opened record, and what its row of the history says; no I/O
folding      from journal records to new states; no I/O
refolding    one fan again, from the whole history with its corrections; no I/O
corrections  reads that history, and lets its rows say what was corrected
states       the one writer of `fan_state`, and of the columns that fans are found by
sealing      the one place where their documents are sealed and opened; no I/O
indexing     writes those columns where a former release wrote a state
history      every applied interaction, sealed; finds duplicates
conflicts    whether an event of a known identity is another one; no I/O
quarantine   records that could not be opened or folded
outbox       what is to be told on Kafka, in the transaction that it tells of
letters      dead letters: made, written, counted by reason
refused      what was refused, for who asks; beside its letter
fates        what became of an event, as far as the stores can tell
day_keys     keys of a day, for dead letters of nobody who is known
relay        publishes the outbox
rotation     wraps all keys again under the newest, and retires one
export       everything that is remembered of one fan, in parts
segments     the members of a segment, page by page
percentiles  where a score stands among all of the creator's
revocations  tokens that are good no more before they expire
earned       what fans have paid, beside what the agent's calls for them cost
retention    how long a creator keeps a fan of whom nothing is heard
roles        who may do what in Postgres
wall         whose rows a statement may see
vacuum       frees what was erased from the tables' pages
cleaning     writes anew what holds names and keys, so that no file has them any more
receipts     what an erasure took, and what a look finds of it afterwards
suppression  fans of whom nothing more is remembered, by a keyed hash
watched_copy  of such a list in a process, looked at every second
erasure      deletes what is held of a fan, at once and in order; how far each has got
erasing      carries an erasure on outside Postgres: ledger, order, cache
forgetting   moves a fan to a new subject without some events; carries that on; `moving` is pure
workflows    intents, drafts, approvals, sends, budgets
connections  platforms whose webhooks are taken, their secrets sealed
store        the readers' queries; `queries` has their SQL
past         whole histories for `asOf` and `explain`, behind a bulkhead
messages     what was said, page by page, and a search in it

In Redis:
cache        the copy of what was read or moved lately
cached       what it holds of one fan, sealed
recent       the newest messages, rendered
missed       what its writer asks Postgres

Over both:
opened       all of it opened together, for a command
snapshot     what is remembered of one fan at one version
reader       `FanMemory`: cache first, Postgres on a miss; `several` reads many fans at once
misses       reads one fan from Postgres, and fills Redis behind the answer
remarks      what readers are told beside a memory
overtaking   asks Postgres beside a Redis that takes long
written      tells readers where the newest writes stand, and waits for them
"""
