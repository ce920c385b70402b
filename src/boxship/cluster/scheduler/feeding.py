"""What the API tells of nodes, pods, storage, budgets and namespaces becomes the snapshot, change by change."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from boxship.cluster.objects import Object, selectors
from boxship.cluster.reconcile.cache import Cache, Key
from boxship.cluster.reconcile.following import Source
from boxship.cluster.scheduler import hints
from boxship.cluster.scheduler.nodes import Node, node_of
from boxship.cluster.scheduler.preemption import Budget
from boxship.cluster.scheduler.shapes import Pod, pod_of, selector_of
from boxship.cluster.scheduler.storage import claim_of, class_of, limits_of, volume_of
from boxship.cluster.scheduler.world import World
from boxship.errors import BoxshipError

log = logging.getLogger(__name__)

PODS, NODES, NAMESPACES = "v1/pods", "v1/nodes", "v1/namespaces"
CLAIMS, VOLUMES, CLASSES = "v1/persistentvolumeclaims", "v1/persistentvolumes", "storage.k8s.io/v1/storageclasses"
LIMITS = "storage.k8s.io/v1/csinodes"
BUDGETS = "policy/v1/poddisruptionbudgets"
SETS = {
    "Service": "v1/services",
    "ReplicationController": "v1/replicationcontrollers",
    "ReplicaSet": "apps/v1/replicasets",
    "StatefulSet": "apps/v1/statefulsets",
}
Hinted = Callable[[frozenset[str] | None], None]  # plugins whose answers may be different; None: all
Told = Callable[[Pod | None, Pod | None], None]


class Feed:
    """Keeps `world` as the API has it. `told` hears of each pod, after the world did."""

    def __init__(self, source: Source, world: World, hinted: Hinted, told: Told) -> None:
        self._world = world
        self._hinted = hinted
        self._told = told
        self._assumed: dict[str, Pod] = {}
        self.pods = Cache(source, PODS, keep=readable(pod_of))
        self.budgets = Cache(source, BUDGETS, keep=readable(budget_of))
        storage = world.storage
        self.caches: list[Cache] = [self.pods, self.budgets]
        self.pods.subscribe(self._pod)
        # Pods come last: what they refer to is there when they are looked at.
        self._follow(source, NODES, node_of, self._node)
        self._follow(source, NAMESPACES, _labels, self._namespace)
        self._claims = self._follow(source, CLAIMS, claim_of, self._stored(storage.put_claim))
        self._volumes = self._follow(
            source, VOLUMES, volume_of, self._stored(lambda key, new: storage.put_volume(key[1], new))
        )
        self._follow(source, CLASSES, class_of, self._stored(lambda key, new: storage.put_class(key[1], new)))
        self._follow(source, LIMITS, limits_of, self._stored(lambda key, new: storage.put_limits(key[1], new)))
        for kind, resource in SETS.items():
            self._follow(source, resource, _selected, self._set_of(kind))

    def assume(self, pod: Pod) -> None:
        """It has a node as far as we are concerned, before the API says so."""
        self._assumed[pod.uid] = pod
        self._world.put_pod(pod)
        self._world.nominate(None, pod.uid)

    def forget(self, uid: str) -> None:
        """It has not become true."""
        if self._assumed.pop(uid, None) is not None:
            self._world.remove_pod(uid)
            self._hinted(hints.BY_LEAVING)

    def doom(self, victims: Sequence[Pod]) -> None:
        """They go as far as we are concerned, before the API says so: nobody else has to go beside them."""
        for victim in victims:
            if victim.uid in self._world.pods and not victim.deleting:
                self._world.put_pod(msgspec.structs.replace(victim, deleting=True))

    def spare(self, victims: Sequence[Pod]) -> None:
        """The API was not told: they are as it has them."""
        for victim in victims:
            known = self.pods.get(victim.key)
            if known is not None and known.uid == victim.uid and known.node:
                self._world.put_pod(known)

    def release(self, wanted: Mapping[Key, str]) -> None:
        """What was assumed of claims and volumes is as the API has it again."""
        for key, volume in wanted.items():
            self._world.storage.put_claim(key, self._claims.get(key))
            if volume:
                self._world.storage.put_volume(volume, self._volumes.get(("", volume)))
        self._world.touch()

    def confirm(self, pod: Pod) -> None:
        """It has become true, as the API says."""
        self._assumed.pop(pod.uid, None)
        self._world.put_pod(pod)

    def is_assumed(self, uid: str) -> bool:
        return uid in self._assumed

    def _follow(
        self, source: Source, resource: str, keep: Callable[[Object], Any], told: Callable[[Key, Any, Any], None]
    ) -> Cache:
        cache = Cache(source, resource, keep=readable(keep))
        cache.subscribe(told)
        self.caches.append(cache)
        return cache

    def _node(self, key: Key, old: Node | None, new: Node | None) -> None:
        if new is None:
            self._world.remove_node(key[1])
        elif new != old:
            self._world.put_node(new)
        changed = hints.of_node(old, new)
        if changed is None or changed:
            self._hinted(changed)

    def _pod(self, key: Key, old: Pod | None, new: Pod | None) -> None:
        if old is not None and (new is None or new.uid != old.uid):
            self._take_away(old.uid)
        if new is not None:
            if new.node:
                self._assumed.pop(new.uid, None)
                self._world.put_pod(new)
            elif new.ended or new.deleting:
                self._take_away(new.uid)
            if new.is_waiting and new.nominated and new.uid not in self._assumed:
                self._world.nominate(new, new.uid)
            else:
                self._world.nominate(None, new.uid)
        self._told(old, new)
        changed = hints.of_pod(old, new)
        if changed:
            self._hinted(changed)

    def _take_away(self, uid: str) -> None:
        self._assumed.pop(uid, None)
        self._world.remove_pod(uid)
        self._world.nominate(None, uid)

    def _namespace(self, key: Key, old: Mapping[str, str] | None, new: Mapping[str, str] | None) -> None:
        self._world.put_namespace(key[1], new)
        if old != new:
            self._hinted(hints.BY_NAMESPACE)

    def _stored(self, put: Callable[[Key, Any], None]) -> Callable[[Key, Any, Any], None]:
        def told(key: Key, old: Any, new: Any) -> None:
            put(key, new)
            self._world.touch()
            if new != old:
                self._hinted(hints.BY_STORAGE)

        return told

    def _set_of(self, kind: str) -> Callable[[Key, Any, Any], None]:
        def told(key: Key, old: Any, new: Any) -> None:
            counts = new is not None and not new.nothing and not new.everything
            self._world.put_set(key, kind, new if counts else None)

        return told


def readable(keep: Callable[[Object], Any]) -> Callable[[Object], Any]:
    """What cannot be read counts as not there, so that one odd object stops nothing else."""

    def kept(object: Object) -> Any:
        try:
            return keep(object)
        except (BoxshipError, LookupError, TypeError, ValueError, AttributeError):
            log.exception("cannot read %s %s", object.get("kind"), object["metadata"].get("name"))
            return None

    return kept


def budget_of(object: Object) -> Budget:
    spec, status = object.get("spec") or {}, object.get("status") or {}
    return Budget(
        namespace=object["metadata"]["namespace"],
        selector=selector_of(spec.get("selector")),
        allowed=int(status.get("disruptionsAllowed") or 0),
        gone=frozenset(status.get("disruptedPods") or ()),
    )


def _labels(namespace: Object) -> dict[str, str]:
    return namespace["metadata"].get("labels") or {}


def _selected(object: Object) -> selectors.LabelSelector:
    """What a service or a set selects."""
    selector = (object.get("spec") or {}).get("selector")
    if object["kind"] in ("Service", "ReplicationController"):
        return selectors.of_set(selector) if selector else selectors.NOTHING
    return selector_of(selector)
