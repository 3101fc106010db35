"""Where it is kept, and every transaction on our tables.

`positions` is the fence; `generations` are builds of all views; `folding` turns journal records
into states; `outbox` tells others; `cache` is Redis, `store` is Postgres, and `reader` answers
from both.
"""
