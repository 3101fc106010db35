#!lua name=fanmemory
-- The cache of fans' memory. Everything here also stands in Postgres.
--
-- g            the live generation, as the workers last said
-- c:NAME       hash: g generation, v version, s who (sealed key and subject), d state document
-- m:NAME       sorted set of the newest messages: score = event time, member = place .. sealed body
-- v:NAME       short-lived mark: the newest version of a fan that is not cached
-- p:PARTITION  hash: g generation, n next position, s<K> highest offset of interactions partition K
--
-- NAME is a keyed hash of the relationship. Versions are zero-padded digits, generation first, so
-- that comparing them as strings compares them as numbers.

local MARK_SECONDS = 30

local function live(generation)
  return redis.call('GET', 'g') == generation
end

-- publish(generation, partition, next, source, offset, ...): all commits below `next` are pushed.
local function publish(_, args)
  local generation, key = args[1], 'p:' .. args[2]
  local current = redis.call('GET', 'g')
  if not current or current < generation then
    redis.call('SET', 'g', generation)
  elseif current > generation then
    return 0
  end
  local known = redis.call('HMGET', key, 'g', 'n')
  if known[1] ~= generation then
    redis.call('DEL', key)
  elseif known[2] and known[2] > args[3] then
    return 0
  end
  redis.call('HSET', key, 'g', generation, 'n', args[3])
  for i = 4, #args, 2 do
    redis.call('HSET', key, 's' .. args[i], args[i + 1])
  end
  return 1
end

-- push(generation, messages_max, ttl, then per fan: name, base, version, state, count, and count
-- times time, member): bring cached fans from version `base` to `version`.
local function push(_, args)
  local generation, keep, ttl = args[1], tonumber(args[2]), args[3]
  local i, applied = 4, 0
  while i <= #args do
    local name, base, version, state, count =
      args[i], args[i + 1], args[i + 2], args[i + 3], tonumber(args[i + 4])
    i = i + 5
    local c, m = 'c:' .. name, 'm:' .. name
    local cached = redis.call('HGET', c, 'v')
    if cached == base then
      redis.call('HSET', c, 'v', version, 'd', state)
      redis.call('EXPIRE', c, ttl)
      for j = i, i + 2 * count - 1, 2 do
        redis.call('ZADD', m, args[j], args[j + 1])
      end
      if count > 0 then
        redis.call('ZREMRANGEBYRANK', m, 0, -keep - 1)
      end
      redis.call('EXPIRE', m, ttl)
      applied = applied + 1
    elseif not cached or cached < version then
      -- Cold, or a push in between was lost: let the next reader fill it from Postgres.
      if cached then
        redis.call('UNLINK', c, m)
      end
      redis.call('SET', 'v:' .. name, version, 'EX', MARK_SECONDS)
    end
    i = i + 2 * count
  end
  return applied
end

-- drop(version, name, ...): forget these fans, and refuse fills below `version`.
local function drop(_, args)
  for i = 2, #args do
    redis.call('UNLINK', 'c:' .. args[i], 'm:' .. args[i])
    redis.call('SET', 'v:' .. args[i], args[1], 'EX', MARK_SECONDS)
  end
  return #args - 1
end

-- fill(generation, partition, ttl, name, version, who, state, then time, member of each message)
local function fill(_, args)
  local generation, name, version = args[1], args[4], args[5]
  -- Without the owner's published position nobody could tell whether this fill is stale.
  if not live(generation) or redis.call('HGET', 'p:' .. args[2], 'g') ~= generation then
    return 0
  end
  local c, m = 'c:' .. name, 'm:' .. name
  local mark = redis.call('GET', 'v:' .. name)
  local cached = redis.call('HGET', c, 'v')
  if (mark and mark > version) or (cached and cached >= version) then
    return 0
  end
  redis.call('UNLINK', c, m)
  redis.call('HSET', c, 'g', generation, 'v', version, 's', args[6], 'd', args[7])
  redis.call('EXPIRE', c, args[3])
  for i = 8, #args, 2 do
    redis.call('ZADD', m, args[i], args[i + 1])
  end
  redis.call('EXPIRE', m, args[3])
  return 1
end

-- read(name): who, version, state and messages, oldest first; nil when not cached.
local function read(_, args)
  local c = redis.call('HMGET', 'c:' .. args[1], 'g', 'v', 's', 'd')
  if not c[1] or not live(c[1]) then
    return nil
  end
  return { c[1], c[2], c[3], c[4], redis.call('ZRANGE', 'm:' .. args[1], 0, -1) }
end

redis.register_function { function_name = 'fanmemory_publish', callback = publish }
redis.register_function { function_name = 'fanmemory_push', callback = push }
redis.register_function { function_name = 'fanmemory_drop', callback = drop }
redis.register_function { function_name = 'fanmemory_fill', callback = fill }
redis.register_function { function_name = 'fanmemory_read', callback = read, flags = { 'no-writes' } }
