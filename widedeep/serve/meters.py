"""What the server counts, in the format of Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.process_collector import ProcessCollector

from widedeep.serve.snapshot import Snapshot

BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)  # seconds


class Meters:
    """The counters of one server."""

    def __init__(self):
        self._registry = CollectorRegistry()
        registry = self._registry
        ProcessCollector(registry=registry)  # memory, processor time, open files
        self.requests = Counter("widedeep_requests", "answered requests", ("route", "status"), registry=registry)
        self.seconds = Histogram(
            "widedeep_request_seconds", "time to answer a request", ("route",), buckets=BUCKETS, registry=registry
        )
        self.lists = Counter("widedeep_lists", "lists by where they came from", ("source",), registry=registry)
        self.reloads = Counter("widedeep_reloads", "newer files that were found", ("result",), registry=registry)
        self._model = Gauge("widedeep_model", "1 for what is in use", ("model", "lists"), registry=registry)

    def loaded(self, snapshot: Snapshot) -> None:
        """Note what answers from now on."""
        self._model.clear()
        self._model.labels(snapshot.model.artifact.sha256[:12], snapshot.lists.manifest.model[:12]).set(1)

    def text(self) -> bytes:
        """Return all counters."""
        return generate_latest(self._registry)
