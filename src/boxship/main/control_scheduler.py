"""The scheduler of the control plane: it acts as system:kube-scheduler and may do no more than that user's role allows,
although it runs in the API's own process."""

import platform
from pathlib import Path

from boxship.cluster.api.authorization.authorizer import Authorizer
from boxship.cluster.api.catalog import Catalog
from boxship.cluster.api.gate import Performs
from boxship.cluster.api.inside import Inside, Shared
from boxship.cluster.api.request import User
from boxship.cluster.scheduler.explaining import Explanation
from boxship.cluster.scheduler.profiles import DEFAULT, Settings, read_settings
from boxship.cluster.scheduler.running import Scheduler
from boxship.doors.kube.metrics import Gauge
from boxship.errors import Invalid
from boxship.main.control_controllers import Guarded
from boxship.wire import yaml_text

SCHEDULER = User("system:kube-scheduler", ("system:authenticated",))
AGENT = "kube-scheduler"


def settings_of(config: str) -> Settings:
    """Of a KubeSchedulerConfiguration's file; "" for none. Raises Invalid, Unsupported."""
    if not config:
        return DEFAULT
    try:
        document, _ = yaml_text.read(Path(config).read_bytes())
    except OSError as error:
        raise Invalid(f"cannot use scheduler-config {config}: {error.strerror}") from error
    return read_settings(document)


class Scheduling:
    """The scheduler of this control plane, whether it works here or only looks."""

    def __init__(self, api: Performs, catalog: Catalog, authorizer: Authorizer, settings: Settings) -> None:
        self._api = api
        self._catalog = catalog
        self._authorizer = authorizer
        self._settings = settings
        self.shared = Shared()  # with whoever follows much in this process
        self._working: Scheduler | None = None

    async def run(self, api: Performs) -> None:
        """Without end: it works, through an API that may refuse what it writes."""
        self._working = self._make(api)
        try:
            await self._working.run()
        finally:
            self._working = None

    async def explain(self, namespace: str, name: str) -> Explanation | None:
        """Where another control plane's scheduler works, everything is read for this one answer."""
        if self._working is not None:
            return self._working.explain(namespace, name)
        return await self._make(self._api).look(namespace, name)

    async def gauges(self) -> list[Gauge]:
        """Its figures, by the original's names; none where it does not work."""
        if self._working is None:
            return []
        counts, waiting = self._working.counts, self._working.waiting.counts()
        attempts = [(f'result="{word}"', float(counts[word])) for word in ("scheduled", "unschedulable", "error")]
        queues = {"active": waiting["ready"] + waiting["taken"], "backoff": waiting["pausing"]}
        queues["unschedulable"] = waiting["stuck"]
        pending = [(f'queue="{queue}"', float(count)) for queue, count in queues.items()]
        return [
            Gauge("scheduler_schedule_attempts_total", "counter", "Decisions by what came of them.", attempts),
            Gauge("scheduler_pending_pods", "gauge", "Pods that wait for a node.", pending),
            Gauge(
                "scheduler_preemption_attempts_total",
                "counter",
                "Times that others had to go.",
                [("", float(counts["preemptions"]))],
            ),
            Gauge(
                "scheduler_preemption_victims_total", "counter", "Pods that had to.", [("", float(counts["victims"]))]
            ),
        ]

    def _make(self, api: Performs) -> Scheduler:
        client = Inside(Guarded(api, self._authorizer), self._catalog, SCHEDULER, AGENT, self.shared)
        return Scheduler(client, self._settings, instance=platform.node())
