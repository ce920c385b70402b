"""Cluster roles whose rules are gathered from others, by their labels: `admin`, `edit` and `view` grow with every kind
that brings roles for them (kubernetes.io, "Aggregated ClusterRoles")."""

from collections.abc import Iterable
from typing import Any

from boxship.cluster.access import Client
from boxship.cluster.objects import Object
from boxship.cluster.objects.selectors import of_object
from boxship.cluster.reconcile.cache import Cache, Key
from boxship.cluster.reconcile.queue import Queue
from boxship.cluster.reconcile.runner import Again

RESOURCE = "rbac.authorization.k8s.io/v1/clusterroles"


class ClusterRoleAggregation:
    name = "clusterrole-aggregation-controller"
    workers = 1

    def __init__(self, client: Client, roles: Cache) -> None:
        self._client = client
        self._roles = roles
        self.caches = (roles,)
        self.queue: Queue[str] = Queue()
        roles.subscribe(self._changed)

    async def reconcile(self, name: str) -> Again | None:
        role = self._roles.get(("", name))
        if role is None or not role.get("aggregationRule") or role["metadata"].get("deletionTimestamp"):
            return None
        rules = gathered(role, (other for _, other in self._roles.items()))
        if rules != (role.get("rules") or []):
            patch = {"metadata": {"resourceVersion": role["metadata"]["resourceVersion"]}, "rules": rules}
            await self._client.patch(RESOURCE, "", name, patch)
        return None

    def _changed(self, key: Key, old: Object | None, new: Object | None) -> None:
        """Any role may be a part of any other that gathers."""
        for other, role in self._roles.items():
            if role.get("aggregationRule"):
                self.queue.add(other[1])


def gathered(role: Object, roles: Iterable[Object]) -> list[Any]:
    """The rules that a role should have: of all that one of its selectors finds, in the order of their names, each
    rule once."""
    selectors = [of_object(selector) for selector in role["aggregationRule"].get("clusterRoleSelectors") or ()]
    rules: list[Any] = []
    for other in sorted(roles, key=lambda one: str(one["metadata"]["name"])):
        if other["metadata"]["name"] == role["metadata"]["name"]:
            continue
        if any(selector.matches(other["metadata"].get("labels")) for selector in selectors):
            rules += [rule for rule in other.get("rules") or () if rule not in rules]
    return rules
