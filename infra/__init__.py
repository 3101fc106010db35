"""How other systems are reached, and how this process behaves while they can't be.

settings       the one frozen object, read once at start
metrics        numbers of this process, for Prometheus
exposition     the address on which it is asked for them
logs           JSON lines that hold nothing personal
clock          the time of this machine
background     tasks that go on when nobody waits for them any more
parts          many things in parts that are small enough
together       what several ask for at once, done at once
deadlines      time limits of one length by one timer
sql            named queries out of `.sql` files
migrations     numbered SQL files, applied once each
postgres       its address, connections, and which of its errors a retry can help
redis          one connection of our own
kafka          the one place that makes Kafka clients
kafka_connections
               what uvloop says of a connection that is gone, as aiokafka expects it
kafka_ids      fetches that name a topic by its id
kafka_protocol the versions of Fetch and Metadata that know ids
kafka_names    topics under the names that a shared cluster gives them
web            one small document from the web
tls            certificates from files, for all three
producer       batches to Kafka, in order, without gaps
retry          how long to wait before another attempt, and how often
breaker        circuit breaker, retry and budget around a read
exit_codes     why one of our processes ended itself
failpoints     named places where the fault suite ends a process
"""
