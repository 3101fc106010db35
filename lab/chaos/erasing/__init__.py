"""Proofs of erasing: fans are erased while events flow and everything on the way is killed.

plan     what is killed and crashed, in an order drawn from the seed
traffic  publishes the events of those who stay, and of those who are erased
client   asks the API to erase and to show, as often as it takes
rounds   one fan after the other is erased in flight, faults beside them
log      who must be remembered, told by `interactions` alone
checks   what must be true when all is quiet
sentinels words that stand nowhere else, in everything that can be said of one fan
scan     looks for them wherever bytes lie
past     brings what lasts only for a time to its end
waiting  until all is quiet
backup   an old base backup comes back, and nobody with it
run      one run: system, rounds, checks, verdict
"""
