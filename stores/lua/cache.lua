#!lua name=fanmemory_RELEASE
-- The cache of fans' memory. Everything here also stands in Postgres.
--
-- Every key begins with a prefix that names the form of what is kept, the version of the views and
-- the secret that names are made with: processes that differ in one of them share nothing.
--
-- era          a random number; an entry of another era is a miss, so a new one drops everything
-- c:NAME       hash, one fan: a era, and t the lease of readers who fill it. When there is something
--              to read also g generation, p partition, v version, s who (sealed key and subject),
--              d the sealed state, b the sealed block of the newest messages, r its form,
--              f the messages pushed since, packed, k how many of them
-- p:PARTITION  hash, what the owner of a journal partition said: g generation, n all below this
--              offset is pushed, t a random number of this very publication, u until when it is
--              vouched for (ms), x the erasures it knew, s<K> highest offset of interactions
--              partition K
-- w:NAME       for some seconds after a write: "partition:offset" of it in interactions
-- l:NAME       hash, somebody's tokens of requests: n how many are left, a at that time (ms)
--
-- NAME is a keyed hash of the relationship. Versions are zero-padded digits, generation first, so
-- that comparing them as strings compares them as numbers.
--
-- Whatever is missing here, be it evicted, flushed, never written or gone back to an older copy,
-- means "no": an entry without its era, an era or a position that is not there, a lease that is
-- not there.

local function entry(args, name)
  return args[1] .. 'c:' .. name
end

local function era(args)
  return redis.call('GET', args[1] .. 'era')
end

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Whether the owner of a partition says, now, that what is here of it is true.
local function vouched(args, partition, generation)
  local said = redis.call('HMGET', args[1] .. 'p:' .. partition, 'g', 'u')
  return said[1] and said[1] == generation and tonumber(said[2]) > now_ms()
end

-- The partition of a fan's entry that may be read now, or nil.
local function readable(args, name)
  local c = redis.call('HMGET', entry(args, name), 'a', 'g', 'p')
  if c[2] and c[1] == era(args) and vouched(args, c[3], c[2]) then
    return c[3]
  end
  return nil
end

-- read(prefix, name, whole): one version of a fan's memory, with its messages if `whole` is 1. When
-- something was written lately that is not in it, where that stands follows as one more field; it
-- comes alone when there is nothing to read.
local function read(_, args)
  local c
  if args[3] == '1' then
    c = redis.call('HMGET', entry(args, args[2]), 'a', 'g', 'p', 'v', 's', 'd', 'r', 'b', 'f')
  else
    c = redis.call('HMGET', entry(args, args[2]), 'a', 'g', 'p', 'v', 's', 'd')
  end
  local written = redis.call('GET', args[1] .. 'w:' .. args[2])
  if not c[2] or c[1] ~= era(args) or not vouched(args, c[3], c[2]) then
    return written or nil
  end
  if written then
    local source, offset = string.match(written, '^(%d+):(%d+)$')
    local got = redis.call('HGET', args[1] .. 'p:' .. c[3], 's' .. source)
    if not got or tonumber(got) < tonumber(offset) then
      c[#c + 1] = written
    end
  end
  return c
end

-- written(prefix, ttl_ms, then per write: name, partition, offset): leave where it stands. Of several
-- of one fan the furthest stays, in whatever order they come.
local function written(_, args)
  for i = 3, #args, 3 do
    local key = args[1] .. 'w:' .. args[i]
    local source, offset = string.match(redis.call('GET', key) or '', '^(%d+):(%d+)$')
    if source ~= args[i + 1] or tonumber(offset) < tonumber(args[i + 2]) then
      redis.call('SET', key, args[i + 1] .. ':' .. args[i + 2], 'PX', args[2])
    end
  end
  return 1
end

-- owners(prefix, name, ...): who it is, of each entry that may be read.
local function owners(_, args)
  local found = {}
  for i = 2, #args do
    found[i - 1] = readable(args, args[i]) and redis.call('HGET', entry(args, args[i]), 's')
      or false
  end
  return found
end

-- reached(prefix, name, source): how far the fan's partition has got in an interactions partition;
-- an empty string for nowhere, nil when the fan can't be read here.
local function reached(_, args)
  local partition = readable(args, args[2])
  if not partition then
    return nil
  end
  return redis.call('HGET', args[1] .. 'p:' .. partition, 's' .. args[3]) or ''
end

-- lease(prefix, name, number, ttl, unusable): to be taken before Postgres is asked, for the fill of
-- what it answers. Readers share one. Nil: there is something to read, or nothing can be filled.
-- `unusable` is 1 when the caller can't use what is there.
local function lease(_, args)
  local key, current = entry(args, args[2]), era(args)
  if not current then
    return nil
  end
  local c = redis.call('HMGET', key, 'a', 't', 'g', 'p')
  local warm = c[3] and c[1] == current
    and redis.call('HGET', args[1] .. 'p:' .. c[4], 'g') == c[3]
  if warm and args[5] ~= '1' then
    return nil
  end
  if c[1] == current and c[2] then
    if not c[3] then
      redis.call('EXPIRE', key, args[4])
    end
    return c[2]
  end
  if not warm then
    redis.call('UNLINK', key)
    redis.call('HSET', key, 'a', current, 't', args[3])
    redis.call('EXPIRE', key, args[4])
  else
    redis.call('HSET', key, 't', args[3])
  end
  return args[3]
end

-- fill(prefix, generation, partition, ttl, name, lease, version, who, state, form, block)
local function fill(_, args)
  local key, current = entry(args, args[5]), era(args)
  local c = redis.call('HMGET', key, 'a', 't', 'v')
  if not current or c[1] ~= current or c[2] ~= args[6] or (c[3] and c[3] > args[7]) then
    return 0
  end
  -- Without the owner's word nobody could tell whether this fill is stale.
  if not vouched(args, args[3], args[2]) then
    return 0
  end
  redis.call('UNLINK', key)
  redis.call('HSET', key, 'a', current, 'g', args[2], 'p', args[3], 'v', args[7], 's', args[8],
    'd', args[9], 'r', args[10], 'b', args[11])
  redis.call('EXPIRE', key, args[4])
  return 1
end

-- compact(prefix, name, version, form, block): the same messages of the same version as one block.
local function compact(_, args)
  local key = entry(args, args[2])
  local c = redis.call('HMGET', key, 'a', 'v')
  if not c[2] or c[1] ~= era(args) or c[2] ~= args[3] then
    return 0
  end
  redis.call('HSET', key, 'r', args[4], 'b', args[5])
  redis.call('HDEL', key, 'f', 'k')
  return 1
end

-- push(prefix, fragments_max, ttl, then per fan: name, partition, base, version, state, count, and
-- these messages, packed): bring cached fans from version `base` to `version`, and end every lease. A
-- fan who was erased and came back is of another partition, or at other versions.
local function push(_, args)
  local keep, ttl, current = tonumber(args[2]), args[3], era(args)
  local applied = 0
  for i = 4, #args, 7 do
    local key, partition, base, version, state, count, packed = entry(args, args[i]), args[i + 1],
      args[i + 2], args[i + 3], args[i + 4], tonumber(args[i + 5]), args[i + 6]
    local c = redis.call('HMGET', key, 'a', 'v', 'k', 't', 'p')
    local known = c[2] and c[1] == current and c[5] == partition
    local together = count + tonumber(c[3] or 0)
    if known and c[2] == base and together <= keep then
      redis.call('HSET', key, 'v', version, 'd', state)
      if count > 0 then
        redis.call('HSET', key, 'k', together, 'f', (redis.call('HGET', key, 'f') or '') .. packed)
      end
      if c[4] then
        redis.call('HDEL', key, 't')
      end
      redis.call('EXPIRE', key, ttl)
      applied = applied + 1
    elseif known and c[2] >= version then
      if c[4] then
        redis.call('HDEL', key, 't')
      end
    elseif c[1] then
      -- Cold, or a push in between was lost, or nobody has read for long: let the next reader fill.
      redis.call('UNLINK', key)
    end
  end
  return applied
end

-- drop(prefix, name, ...): forget these fans, and end every lease.
local function drop(_, args)
  for i = 2, #args do
    redis.call('UNLINK', entry(args, args[i]))
  end
  return #args - 1
end

-- renew(prefix, number): a new era.
local function renew(_, args)
  redis.call('SET', args[1] .. 'era', args[2])
  return 1
end

-- publish(prefix, generation, partition, expected, number, next, vouched_ms, ttl, erasures, era,
-- source, offset, ...): all commits below `next` are pushed. Only in the place of the publication
-- with the number `expected`; empty: of none. `era` is for a cache that has none.
local function publish(_, args)
  local key = args[1] .. 'p:' .. args[3]
  local said = redis.call('HMGET', key, 'g', 't')
  if (said[2] or '') ~= args[4] then
    return 0
  end
  redis.call('SET', args[1] .. 'era', args[10], 'NX')
  -- Five fields and a source each: more are there when the views went back behind a source.
  if said[1] ~= args[2] or redis.call('HLEN', key) > 5 + (#args - 10) / 2 then
    redis.call('UNLINK', key)
  end
  redis.call('HSET', key, 'g', args[2], 'n', args[6], 't', args[5], 'x', args[9],
    'u', string.format('%.0f', now_ms() + tonumber(args[7])))
  for i = 11, #args, 2 do
    redis.call('HSET', key, 's' .. args[i], args[i + 1])
  end
  redis.call('EXPIRE', key, args[8])
  return 1
end

-- take(prefix, name, quota, window_ms, wanted): tokens out of somebody's bucket, which holds `quota`
-- and fills up in `window_ms`. Answers how many were there to be taken, and how many are left.
local function take(_, args)
  local key, quota, window = args[1] .. 'l:' .. args[2], tonumber(args[3]), tonumber(args[4])
  local kept, now, left = redis.call('HMGET', key, 'n', 'a'), now_ms(), quota
  if kept[2] then
    local since = math.max(now - tonumber(kept[2]), 0)
    left = math.min(tonumber(kept[1]) + since * quota / window, quota)
  end
  local taken = math.min(tonumber(args[5]), math.floor(left))
  redis.call('HSET', key, 'n', string.format('%.3f', left - taken), 'a', string.format('%.0f', now))
  redis.call('PEXPIRE', key, window)
  return { taken, math.floor(left - taken) }
end

local function register(name, callback, ...)
  redis.register_function {
    function_name = 'fanmemory_RELEASE_' .. name, callback = callback, flags = { ... },
  }
end

register('read', read, 'no-writes')
register('owners', owners, 'no-writes')
register('reached', reached, 'no-writes')
register('written', written)
register('lease', lease)
register('fill', fill)
register('compact', compact)
register('push', push)
register('take', take, 'allow-oom')
-- What takes things away, or says so, must work when memory is full.
register('drop', drop, 'allow-oom')
register('renew', renew, 'allow-oom')
register('publish', publish, 'allow-oom')
