"""What an operator asks for. Library code: the commands that call it stand in `ops.cli`.

topics        create the topics, compare the cluster with what they must be
journal       read a topic from its beginning, apart from any worker
refold        fold one partition of the journal again, in bounded memory
rebuild       the next generation of views beside the live one, and the switch
verify        compare everything with the journal, and the journal with `interactions`
places        sets of places in a topic, one bit each
parallel      one process per core, with progress
accounting    what became of every event, from the counters
export        a fan's export as one document: JSON, or a page
sweep         erase whom a creator's retention names
keys          what each key-encryption key wraps, everywhere, and retiring one
dead_letters  what was refused, opened again
retry         publish dead letters again
emit          publish events from a file
judging       what ingest will refuse of the events of a file
staging       events of files, judged together and put into the order of time
reading       the events of a file, in whatever form people have them
ledger        a restored database erases again whom it does not know to be erased
backup        what a system has to be put back from, sealed, and putting it back
accept_loss   the way out for a partition whose log lacks something
log_state     whether the logs still have what was read from them
preflight     refuses to start on stores that this code does not match
"""
