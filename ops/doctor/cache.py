"""The check of Redis."""

from infra.redis import open_redis
from infra.settings import Settings
from ops.doctor.findings import ANSWER_SECONDS_MAX, Note
from ops.services.endpoints import without_password


async def redis(settings: Settings) -> str:
    client = open_redis(settings, ANSWER_SECONDS_MAX)
    try:
        server, memory = await client.info("server"), await client.info("memory")
    finally:
        await client.close()
    name = "Valkey" if "valkey_version" in server else "Redis"
    version = server.get("valkey_version") or server["redis_version"]
    where = without_password(settings.redis_url)
    policy, bounded = memory.get("maxmemory_policy", ""), memory.get("maxmemory", "0") != "0"
    if bounded and (policy == "noeviction" or policy.endswith("-random")):
        does = "refuses writes" if policy == "noeviction" else "forgets what is read most"
        raise Note(
            f"{name} {version} at {where} {does} when it is full.",
            "Set maxmemory-policy to allkeys-lru: everything in it can be read again.",
        )
    return f"{name} {version} at {where}"
