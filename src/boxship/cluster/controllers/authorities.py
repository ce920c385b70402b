"""Every namespace has the config map `kube-root-ca.crt`, by which pods know the API's certificate."""

from boxship.cluster.access import Client
from boxship.cluster.controllers.accounts import ENDING, is_active
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure
from boxship.cluster.reconcile.cache import Cache, Key
from boxship.cluster.reconcile.queue import Queue
from boxship.cluster.reconcile.runner import Again

NAME = "kube-root-ca.crt"
FILE = "ca.crt"
DESCRIPTION = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the "
    "internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes "
    "clusters."
)


class RootAuthorities:
    """`maps` follows the config maps of that name alone. `authority` is the certificate in PEM."""

    name = "root-ca-cert-publisher"
    workers = 4

    def __init__(self, client: Client, namespaces: Cache, maps: Cache, authority: bytes) -> None:
        self._client = client
        self._namespaces = namespaces
        self._maps = maps
        self._authority = authority.decode()
        self.caches = (namespaces, maps)
        self.queue: Queue[str] = Queue()
        namespaces.subscribe(self._namespace_changed)
        maps.subscribe(self._map_changed)

    async def reconcile(self, namespace: str) -> Again | None:
        if not is_active(self._namespaces.get(("", namespace))):
            return None
        current = self._maps.get((namespace, NAME))
        wanted = published(current, namespace, self._authority)
        if wanted is None:
            return None
        try:
            if current is None:
                await self._client.create("v1/configmaps", namespace, wanted)
            else:
                await self._client.update("v1/configmaps", wanted)
        except Failure as failure:
            if failure.reason not in (*ENDING, "AlreadyExists"):
                raise
        return None

    def _namespace_changed(self, key: Key, old: Object | None, new: Object | None) -> None:
        if new is not None and (old is None or is_active(new) != is_active(old)):
            self.queue.add(key[1])

    def _map_changed(self, key: Key, old: Object | None, new: Object | None) -> None:
        if new is None or published(new, key[0], self._authority) is not None:
            self.queue.add(key[0])


def published(current: Object | None, namespace: str, authority: str) -> Object | None:
    """The config map as it should be; None: it is."""
    note = {"kubernetes.io/description": DESCRIPTION}
    if current is None:
        metadata: Object = {"name": NAME, "namespace": namespace, "annotations": note}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {FILE: authority}}
    noted = current["metadata"].get("annotations") or {}
    if current.get("data") == {FILE: authority} and noted.items() >= note.items():
        return None
    return {
        **current,
        "metadata": {**current["metadata"], "annotations": {**noted, **note}},
        "data": {FILE: authority},
    }
