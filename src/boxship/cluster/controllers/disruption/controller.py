"""Follows pods and PodDisruptionBudgets, and writes what may be disrupted now."""

from collections import defaultdict
from collections.abc import Sequence

from boxship.cluster.access import Client
from boxship.cluster.controllers.disruption.budgets import (
    by_scale,
    charges_of,
    failed_status_of,
    status_of,
    wanted_of,
)
from boxship.cluster.controllers.disruption.expecting import Expected, Uncountable, expected_of
from boxship.cluster.controllers.nodes.lifecycle import about
from boxship.cluster.controllers.scaling import Scales
from boxship.cluster.controllers.workloads.pods import Pod
from boxship.cluster.controllers.workloads.times import Now
from boxship.cluster.controllers.workloads.writing import same_status
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure
from boxship.cluster.objects.selectors import LabelSelector, of_object
from boxship.cluster.reconcile.cache import Cache, Key
from boxship.cluster.reconcile.queue import Queue
from boxship.cluster.reconcile.recording import Events
from boxship.cluster.reconcile.runner import Again

RESOURCE = "policy/v1/poddisruptionbudgets"
LOOK_AGAIN = 30.0  # seconds, where nobody knew how many pods there should be
UNMANAGED = (
    "Pods selected by this PodDisruptionBudget (selector: {}) were found to be unmanaged. As a result, the status of "
    "the PDB cannot be calculated correctly, which may result in undefined behavior. To account for these pods please "
    'set ".spec.minAvailable" field of the PDB to an integer value.'
)


class Disruption:
    """`pods` keeps workloads' facts."""

    name = "disruption-controller"
    workers = 4

    def __init__(self, client: Client, budgets: Cache, pods: Cache, scales: Scales, events: Events, now: Now) -> None:
        self.caches: Sequence[Cache] = (budgets, pods)
        self.queue: Queue[Key] = Queue()
        self._client = client
        self._budgets = budgets
        self._pods = pods
        self._scales = scales
        self._events = events
        self._now = now
        self._selectors: dict[str, dict[Key, LabelSelector]] = defaultdict(dict)
        self._members: dict[Key, dict[Key, None]] = {}
        budgets.subscribe(self._budget_changed)
        pods.subscribe(self._pod_changed)

    async def reconcile(self, key: Key) -> Again | None:
        budget = self._budgets.get(key)
        if budget is None or budget["metadata"].get("deletionTimestamp"):
            return None
        pods: list[Pod] = [pod for pod in map(self._pods.get, self._members.get(key, ())) if pod is not None]
        spec, now = budget.get("spec") or {}, self._now()
        if not pods:
            self._events.tell(budget, "Normal", "NoPods", "No matching pods found")
        charges = charges_of(budget, pods, now)
        expected = Expected(0)
        try:
            if by_scale(spec):
                expected = await expected_of(self._client, self._scales, pods)
        except Uncountable as error:
            text = f"Failed to calculate the number of expected pods: {error}"
            self._events.tell(budget, "Warning", "CalculateExpectedPodCountFailed", text)
            await self._write(budget, failed_status_of(budget, str(error), now))
            return Again(LOOK_AGAIN)
        if expected.unmanaged:
            text = UNMANAGED.format(self._selectors[key[0]][key].text)
            self._events.tell(budget, "Warning", "UnmanagedPods", text)
        wanted = wanted_of(spec, expected.count, len(pods))
        await self._write(budget, status_of(budget, pods, charges, wanted, now))
        for pod in charges.failed:
            text = f"Pod was expected by PDB {key[0]}/{key[1]} to be deleted but it wasn't"
            self._events.tell(about(pod), "Warning", "NotDeleted", text)
        return Again(charges.next + 0.1) if charges.next else None

    async def _write(self, budget: Object, status: Object) -> None:
        """Only over the version that was seen: the API charges the same status."""
        if not same_status(budget.get("status") or {}, status):
            await self._client.update(RESOURCE, {**budget, "status": status}, subresource="status")

    def _budget_changed(self, key: Key, old: Object | None, new: Object | None) -> None:
        if new is None:
            self._selectors[key[0]].pop(key, None)
            if not self._selectors[key[0]]:
                del self._selectors[key[0]]
            self._members.pop(key, None)
            return
        selected = (new.get("spec") or {}).get("selector")
        if old is None or selected != (old.get("spec") or {}).get("selector"):
            self._select(key, selected)
        self.queue.add(key)

    def _select(self, key: Key, selected: Object | None) -> None:
        self._selectors[key[0]].pop(key, None)
        self._members[key] = {}
        if selected is None:
            return  # it selects nothing
        try:
            selector = of_object(selected)
        except Failure:
            return  # was checked when it was written
        self._selectors[key[0]][key] = selector
        for pod_key, pod in self._pods.items():
            if pod_key[0] == key[0] and selector.matches(pod.labels):
                self._members[key][pod_key] = None

    def _pod_changed(self, key: Key, old: Pod | None, new: Pod | None) -> None:
        for budget, selector in self._selectors.get(key[0], {}).items():
            members = self._members[budget]
            was, now = key in members, new is not None and selector.matches(new.labels)
            if now:
                members[key] = None
            elif was:
                del members[key]
            if was != now or (now and _counts(old) != _counts(new)):
                self.queue.add(budget)


def _counts(pod: Pod | None) -> tuple[object, ...]:
    """What of a pod decides a budget's status."""
    return (pod.uid, pod.ready, pod.deleted, pod.controller) if pod is not None else ()
