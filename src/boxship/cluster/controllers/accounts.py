"""Every namespace has the service account `default`; pods wait for it, so it has to be there at once."""

from boxship.cluster.access import Client
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure
from boxship.cluster.reconcile.cache import Cache, Key
from boxship.cluster.reconcile.queue import Queue
from boxship.cluster.reconcile.runner import Again

DEFAULT = "default"
ENDING = ("NotFound", "Forbidden")  # the namespace is gone, or takes nothing new any more


class ServiceAccounts:
    """`accounts` may keep little of each account: that it is there is enough."""

    name = "service-account-controller"
    workers = 4

    def __init__(self, client: Client, namespaces: Cache, accounts: Cache) -> None:
        self._client = client
        self._namespaces = namespaces
        self._accounts = accounts
        self.caches = (namespaces, accounts)
        self.queue: Queue[str] = Queue()
        namespaces.subscribe(self._namespace_changed)
        accounts.subscribe(self._account_changed)

    async def reconcile(self, namespace: str) -> Again | None:
        if not is_active(self._namespaces.get(("", namespace))) or self._accounts.get((namespace, DEFAULT)):
            return None
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": DEFAULT, "namespace": namespace}}
        try:
            await self._client.create("v1/serviceaccounts", namespace, account)
        except Failure as failure:
            if failure.reason not in (*ENDING, "AlreadyExists"):
                raise
        return None

    def _namespace_changed(self, key: Key, old: Object | None, new: Object | None) -> None:
        if new is not None:
            self.queue.add(key[1])

    def _account_changed(self, key: Key, old: object, new: object) -> None:
        if new is None and key[1] == DEFAULT:
            self.queue.add(key[0])


def is_active(namespace: Object | None) -> bool:
    """Whether a namespace takes new objects."""
    if namespace is None or namespace["metadata"].get("deletionTimestamp"):
        return False
    return bool((namespace.get("status") or {}).get("phase", "Active") == "Active")
