"""How it is read and written over HTTP.

endpoints     one row per endpoint says everything about it; `routes` finds the row of a request
table         the rows
app           the ASGI application and its lifespan
serve         runs it; `protocol` bounds what comes over a connection
dispatch      every request is identified, bounded, let in, answered, logged and measured
components    what a running API is made of
auth, tokens  who asks; tokens for development
jwks          the public keys of whoever issues tokens
parameters    query parameters, read strictly
envelopes     success and error bodies
memory        GET context, engagement-score, explain
places        how many requests are served at once, of all and of one creator
order         whose request begins next
limits        how many a minute; `refusals` has who asks for more wait for that
remarks       headers about what an answer lacks
changes       GET changes: what happened since, and what the views' fields were
what_if       POST what-if: the context after events that have not happened
bulk          POST bulk: the contexts of several fans
fans          GET fans: those of a segment, page by page
messages      GET messages: what was said, page by page, and a search in it
purchases     GET purchases: what a fan has paid, and what of it was taken back
cursors       through what happened to a fan, the newest first
fates         GET events: what became of one; GET refused: a creator's refusals
conditional   ETag and 304
stream        GET stream: what moves, as server-sent events, out of the process's `stream_feed`;
              `stream_ring` knows what a client has missed, `stream_alerts` budgets that are spent,
              `stream_tickets` are for browsers
stats         GET stats: the circuits
interactions  POST interaction and interactions, through `publisher`; `ndjson` parts a batch,
              `idempotency` gives events their ids, `turns` gives others the loop
origins       knows whose event a position is
webhooks      POST what a platform delivers, checked as it signs it
contract      the table and its types as OpenAPI (`openapi`), and as a `page`
erasures      DELETE clear, and how far an erasure has got
forgettings   DELETE messages, and how far a forgetting has got; `own_requests` is for both
campaigns     /api/workflows/campaigns: previews, counts, the brake
workflows     /api/workflows: intents, drafts, decisions, holds, costs
connections   GET, PUT and DELETE a creator's connections to platforms
receipts      GET the proof of an erasure or forgetting, and the keys to check it
export        GET everything that is remembered of a fan, streamed
retention     PUT, GET how long a creator keeps a silent fan
suppression   PUT, GET, DELETE: whether anything more is remembered of a fan
health, lag   how the system does, and how far the views are behind
metrics       what Prometheus sees
watched       the address on which it, and whoever runs this, asks
"""
