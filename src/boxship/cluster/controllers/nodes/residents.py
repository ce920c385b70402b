"""Which pods are on which node, by the cache of pods."""

from collections import defaultdict
from collections.abc import Iterator

from boxship.cluster.controllers.workloads.pods import Pod
from boxship.cluster.reconcile.cache import Cache, Key


class Residents:
    """Only keys are kept here. `pods` keeps workloads' facts."""

    def __init__(self, pods: Cache) -> None:
        self.pods = pods
        self._keys: dict[str, dict[Key, None]] = defaultdict(dict)
        pods.subscribe(self._changed)

    def keys(self, node: str) -> list[Key]:
        return list(self._keys.get(node, ()))

    def of(self, node: str) -> Iterator[Pod]:
        for key in self.keys(node):
            pod = self.pods.get(key)
            if pod is not None:
                yield pod

    def nodes(self) -> list[str]:
        """Those that have any, or are said to."""
        return list(self._keys)

    def _changed(self, key: Key, old: Pod | None, new: Pod | None) -> None:
        before, after = old.node if old else "", new.node if new else ""
        if before == after:
            return
        if before:
            self._keys[before].pop(key, None)
            if not self._keys[before]:
                del self._keys[before]
        if after:
            self._keys[after][key] = None
