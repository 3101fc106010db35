"""What flows through the system. Plain data, no I/O.

events         what services send; `refusals` says what is wrong with it
journal        what ingest writes, sealed; `text_features` is what it read in a text
context        the documents that readers get; `bulk` asks for those of several fans
updates        what is told on `memory-updates`
dead_letters   what ingest refused
topics         every Kafka topic, named once
positions      `topic-partition:offset`
relationship   a creator and a fan
times          milliseconds inside, RFC 3339 outside
errors         the one error tree
"""
