"""What the service counts about itself, for Prometheus."""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, GCCollector, Histogram, ProcessCollector
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

MEDIA_TYPE: Final = CONTENT_TYPE_LATEST
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Metrics:
    """Counters of one service; each has its own, so that two in one process do not mix.

    ``jobs`` gives the number of jobs by state; who runs the jobs sets it.
    """

    def __init__(self, sessions: Callable[[], int]) -> None:
        self.jobs: Callable[[], Mapping[str, int]] = dict
        self._sessions = sessions
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "taotu_requests", "Requests answered", ("method", "route", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "taotu_request_seconds", "Time to answer", ("route",), registry=self._registry, buckets=_SECONDS
        )
        self._logins = Counter("taotu_logins", "Logins tried", ("outcome",), registry=self._registry)
        self._registry.register(_Standing(self))
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request was answered."""
        known = method if method in _METHODS else "other"  # a stranger must not make series at will
        self._requests.labels(known, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def login(self, outcome: str) -> None:
        """A login was tried: ``ok``, ``failed`` or ``limited``."""
        self._logins.labels(outcome).inc()

    def text(self) -> bytes:
        """All of it in Prometheus' text form."""
        return generate_latest(self._registry)

    def standing(self) -> Iterator[GaugeMetricFamily]:
        """What is asked for at the moment of reading: sessions and jobs."""
        yield GaugeMetricFamily("taotu_open_sessions", "Sessions not ended", value=self._sessions())
        jobs = GaugeMetricFamily("taotu_jobs", "Jobs by state", labels=("state",))
        for state, count in sorted(self.jobs().items()):
            jobs.add_metric((state,), count)
        yield jobs


class _Standing(Collector):
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[GaugeMetricFamily]:
        return self._metrics.standing()

    def describe(self) -> list[GaugeMetricFamily]:
        return []  # registering must not ask the database
