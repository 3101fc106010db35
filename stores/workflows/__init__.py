"""Workflows: from an intent to its result, as rows. Every transaction on their tables.

rows       one workflow as it stands, how it moves from state to state, and the fence
sealed     who its texts are sealed for
telling    results, trace events and usage, through the outbox
intake     intents become rows, each once for ever; newer replies supersede older ones
queue      claims, leases, limits of users, and what a lost worker left behind
ending     the result is told once, and the row is done with
composing  from received to a draft or a result
answers    answers of providers, for a day, for who asks the same once more
usage      budgets and calls, each reserved before it is made
pauses     providers that are left alone
approving  what people decide about drafts
holds      when the AI is silent, and what is new since a draft was made
spending   what a fan has paid lately
campaigns  one campaign as it stands, what it lets its messages do, and its budget
campaigning   its steps: who its members are, a workflow for each, the end
steering   what people say about it, and what they see of it
counting   where its members are
offering   what a draft offers and promises, as the event of its sending says it
sending    from approved to sent or unknown, one at a time per recipient
reading    what people and metrics see
erasing    what becomes of it all when a fan is erased
"""
