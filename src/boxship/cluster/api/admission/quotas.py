"""ResourceQuota: what a write would use more is charged to the namespace's quotas before it is done.

The charge is a compare-and-swap of each quota's status, so that of many writes at once no more get through than fit. A
write that fails after its charge leaves it too high until the quota controller counts again; never too low.
"""

from boxship.cluster.access import Writer
from boxship.cluster.api.admission import Attributes, Lookup
from boxship.cluster.api.locks import KeyLocks
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure, forbidden
from boxship.cluster.objects.pod_resources import Amounts
from boxship.cluster.objects.quantity import parse
from boxship.cluster.objects.quota import counted, difference, exceeded, matches, missing, usage_of

TRIES = 8  # against other writers of the same quota
PATH = "v1/resourcequotas"
# Of these subresources, the ones whose writes can use more.
SUBRESOURCES = {"", "resize"}


class ResourceQuota:
    """Implements Plugin. The last one: what others refuse is not charged."""

    name = "ResourceQuota"

    def __init__(self, lookup: Lookup, writer: Writer) -> None:
        self._lookup = lookup
        self._writer = writer
        self._locks = KeyLocks()

    async def admit(self, attributes: Attributes) -> None:
        return None

    async def validate(self, attributes: Attributes) -> None:
        request = attributes.request
        if attributes.operation not in ("CREATE", "UPDATE") or request.subresource not in SUBRESOURCES:
            return
        if not request.namespace or attributes.object is None:
            return
        if not await self._lookup.list(PATH, request.namespace):
            return
        async with self._locks.hold(request.namespace):  # one at a time saves conflicts with ourselves
            await self._charge(attributes)

    async def _charge(self, attributes: Attributes) -> None:
        for attempt in range(TRIES):
            charges = await self._charges(attributes)
            if attributes.dry_run:
                return
            try:
                for quota, change in charges:
                    await self._write(quota, change)
                return
            except Failure as failure:
                if failure.reason not in ("Conflict", "NotFound") or attempt == TRIES - 1:
                    raise

    async def _charges(self, attributes: Attributes) -> list[tuple[Object, Amounts]]:
        """Each quota that the write changes, and by what. Raises Failure where one does not have it."""
        request = attributes.request
        made = attributes.object
        assert made is not None
        new = usage_of(request.resource, made)
        found = []
        refusals = []
        for quota in sorted(
            await self._lookup.list(PATH, request.namespace), key=lambda each: str(each["metadata"]["name"])
        ):
            change = self._change(quota, attributes, new)
            name = quota["metadata"]["name"]
            applies = attributes.operation == "CREATE" and matches(quota, request.resource, made)
            if applies and (names := missing(quota, request.resource, made)):
                refusals.append(f"failed quota: {name}: must specify {'; '.join(names)}")
                continue
            if names := exceeded(quota, change):
                refusals.append(_exceeded_text(quota, change, names))
            elif change:
                found.append((quota, change))
        if refusals:
            raise forbidden(request.resource, attributes.name, ", ".join(refusals))
        return found

    def _change(self, quota: Object, attributes: Attributes, new: Amounts) -> Amounts:
        resource = attributes.request.resource
        assert attributes.object is not None
        after = counted(quota, new) if matches(quota, resource, attributes.object) else {}
        before: Amounts = {}
        if attributes.operation == "UPDATE" and attributes.old is not None and matches(quota, resource, attributes.old):
            before = counted(quota, usage_of(resource, attributes.old))
        return difference(after, before)

    async def _write(self, quota: Object, change: Amounts) -> None:
        status = quota.get("status", {})
        used = dict(status.get("used") or {})
        for name, more in change.items():
            used[name] = (parse(used.get(name, "0")) + more).text
        hard = status.get("hard") or quota["spec"].get("hard") or {}
        await self._writer.update(
            PATH, {**quota, "status": {**status, "hard": hard, "used": used}}, subresource="status"
        )


def _exceeded_text(quota: Object, change: Amounts, names: list[str]) -> str:
    hard = quota["spec"]["hard"]
    used = quota.get("status", {}).get("used") or {}
    requested = ",".join(f"{name}={change[name].text}" for name in names)
    now = ",".join(f"{name}={used.get(name, '0')}" for name in names)
    limited = ",".join(f"{name}={hard[name]}" for name in names)
    name = quota["metadata"]["name"]
    return f"exceeded quota: {name}, requested: {requested}, used: {now}, limited: {limited}"
