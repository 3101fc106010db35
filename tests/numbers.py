"""What a process tells Prometheus, as a test asks for it."""

import aiohttp
from prometheus_client.parser import text_string_to_metric_families


class Numbers:
    """One scrape."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.families = list(text_string_to_metric_families(text))
        self.samples = [sample for family in self.families for sample in family.samples]

    def sum(self, name: str, **labels: str) -> float:
        """Of all series of that name with these labels."""
        return sum(
            sample.value
            for sample in self.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    @property
    def names(self) -> set[str]:
        """As queries name them, without the endings of histograms."""
        return {
            f"{family.name}_total" if family.type == "counter" else family.name
            for family in self.families
        }


async def scrape(port: int) -> Numbers:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}/metrics") as answer,
    ):
        assert answer.status == 200
        return Numbers(await answer.text())
