"""Checks of Kafka and our topics."""

from admin import topics
from infra.kafka import admin
from infra.settings import Settings
from ops.doctor.findings import Problem


async def brokers(settings: Settings) -> str:
    async with admin(settings) as client:
        cluster = await client.describe_cluster()
    how: str = settings.kafka_security
    if how.startswith("SASL"):
        how += f" with {settings.kafka_sasl_mechanism} as {settings.kafka_user}"
    return f"{len(cluster['brokers'])} broker(s) at {settings.kafka_url}, {how}"


async def our_topics(settings: Settings) -> str:
    states = await topics.check(settings)
    different = [difference for state in states for difference in state.differences]
    if different:
        first = different[0]
        raise Problem(
            f"{len(different)} difference(s): {first.topic}: {first.what} is {first.is_},"
            f" should be {first.should_be}.",
            first.advice,
        )
    return f"{len(states)} topics are as they must be"
