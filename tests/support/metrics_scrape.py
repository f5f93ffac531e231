"""Reading metrics as Prometheus does."""

import httpx
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from tests.support.waiting import CEILING_SECONDS


class Scrape:
    """One answer: every sample by its name and labels."""

    def __init__(self, url: str, *registries: Collector) -> None:
        """With what is in registries of this process as well."""
        answer = httpx.get(url, timeout=CEILING_SECONDS, verify=False)  # noqa: S501
        assert answer.status_code == 200
        texts = [answer.text, *(generate_latest(registry).decode() for registry in registries)]
        families = [family for text in texts for family in text_string_to_metric_families(text)]
        self._samples = {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}

    @property
    def names(self) -> set[str]:
        return {name for name, _ in self._samples}

    def labels_of(self, name: str) -> set[str]:
        return {label for found, labels in self._samples if found == name for label, _ in labels}

    @property
    def all_labels(self) -> set[str]:
        return {label for _, labels in self._samples for label, _ in labels}

    def value(self, name: str, **labels: str) -> float | None:
        """None if there is no such series."""
        return self._samples.get((name, frozenset(labels.items())))
