"""What flows through the system. Plain data, no I/O.

events         what services send; `refusals` says what is wrong with it
details        what few events have: attachments, origin, prices, what they refer to
metadata       what may stand in the producer's own object
facts         what `metadata` of a note states of the fan
offers        what `metadata` says of a creator's offers
money          decimals, minor units, currencies; `rates` is what they are roughly worth
html           becomes text; `characters` are those that nobody sees
intents        what the LLM agent is asked to do
sending        rules of sending that no setting moves
workflows      what becomes of an intent, as it is told
journal        what ingest writes, sealed; `text_features` is what it read in a text
published_event  the same as its JSON Schema is published, in `published/`
rendered       an event again, out of the journal
context        the documents that readers get; `bulk` asks for those of several fans
campaigns      whom a campaign is for, and where its members are
segments       which of a creator's fans are meant; the summary of each
answers        what HTTP answers hold around them
updates        what is told on `memory-updates`
control        orders among the events; `erased` is the ledger of what they did
dead_letters   what was refused, or conflicts
export         the parts of everything that is told of one fan
receipts       proof of an erasure, which names nobody
topics         every Kafka topic, named once; `records` says what is on each
described      JSON Schemas of all these, as they are published
positions      `topic-partition:offset`
relationship   a creator and a fan
random_ids     ids of 16 random bytes, and their text
times          milliseconds inside, RFC 3339 outside
usage          tokens that a call of a language model used
errors         the one error tree
"""
