"""A server's `/metrics`, read: gauges, counters by label, quantiles of histograms."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families


@dataclass(frozen=True, slots=True)
class Scraped:
    """What a server said.

    Attributes:
        samples: values by name and value of the label, "" for none; of histograms, the buckets by (label, upper bound).
        buckets: of histograms, by name and label: (upper bound in seconds, requests up to it).
    """

    samples: dict[tuple[str, str], float]
    buckets: dict[tuple[str, str], list[tuple[float, float]]]

    def value(self, name: str, label: str = "") -> float:
        """Return a gauge or counter, 0 where there is none."""
        return self.samples.get((name, label), 0.0)

    def by_label(self, name: str) -> dict[str, float]:
        """Return a counter's values by label."""
        return {label: value for (found, label), value in self.samples.items() if found == name}

    def quantile(self, name: str, label: str, share: float) -> tuple[float, float]:
        """Return a histogram's quantile in seconds, within a bucket by interpolation, and how many there are."""
        buckets = self.buckets.get((name, label), [])
        count = buckets[-1][1] if buckets else 0.0
        lower, before = 0.0, 0.0
        for upper, upto in buckets:
            if upto >= share * count and upto > before:
                if upper == float("inf"):
                    return lower, count
                return lower + (upper - lower) * (share * count - before) / (upto - before), count
            lower, before = upper, upto
        return 0.0, count


def scraped(text: str) -> Scraped:
    """Return what a text in the format of Prometheus says."""
    samples: dict[tuple[str, str], float] = {}
    buckets: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            bound = sample.labels.pop("le", None)
            label = next(iter(sample.labels.values()), "")
            if bound is None:
                samples[sample.name, label] = sample.value
            else:
                buckets.setdefault((family.name, label), []).append((float(bound), sample.value))
    return Scraped(samples, buckets)
