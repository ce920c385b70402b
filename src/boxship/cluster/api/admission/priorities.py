"""Priority: a pod's class becomes its number; at most one class is everyone's default; and those of the system stay.

Source: kubernetes.io, "Pod Priority and Preemption".
"""

from boxship.cluster.api.admission import Attributes, Lookup
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import forbidden
from boxship.cluster.objects.kinds.scheduling import SYSTEM

CLASSES = "scheduling.k8s.io/v1/priorityclasses"


class Priority:
    """Implements Plugin."""

    name = "Priority"

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup

    async def admit(self, attributes: Attributes) -> None:
        request = attributes.request
        if (request.resource.path, attributes.operation) == (CLASSES, "DELETE") and attributes.name in SYSTEM:
            raise forbidden(request.resource, attributes.name, "this is a system priority class and cannot be deleted")
        if (
            request.resource.path != "v1/pods"
            or request.subresource
            or attributes.operation not in ("CREATE", "UPDATE")
        ):
            return
        pod = attributes.object
        assert pod is not None
        spec = pod["spec"]
        if attributes.operation == "UPDATE":
            old = (attributes.old or {}).get("spec", {})
            for key in ("priority", "preemptionPolicy"):
                if spec.get(key) is None and old.get(key) is not None:
                    spec[key] = old[key]
            return
        name = spec.get("priorityClassName", "")
        found = await self._class(name)
        if name and found is None:
            raise forbidden(request.resource, attributes.name, f"no PriorityClass with name {name} was found")
        value = found["value"] if found else 0
        policy = (found or {}).get("preemptionPolicy") or "PreemptLowerPriority"
        if found and not name:
            spec["priorityClassName"] = found["metadata"]["name"]
        if spec.get("priority") not in (None, value):
            why = (
                f"the integer value of priority ({spec['priority']}) must not be provided in pod spec; "
                f"priority admission controller computed {value} from the given PriorityClass name"
            )
            raise forbidden(request.resource, attributes.name, why)
        if spec.get("preemptionPolicy") not in (None, policy):
            why = (
                f"the string value of PreemptionPolicy ({spec['preemptionPolicy']}) must not be provided in pod spec; "
                f"priority admission controller computed {policy} from the given PriorityClass name"
            )
            raise forbidden(request.resource, attributes.name, why)
        spec["priority"], spec["preemptionPolicy"] = value, policy

    async def _class(self, name: str) -> Object | None:
        """The class of that name or, without one, the default; of several, the one with the lowest value."""
        if name:
            return await self._lookup.get(CLASSES, "", name)
        defaults = [entry for entry in await self._lookup.list(CLASSES) if entry.get("globalDefault")]
        return min(defaults, key=lambda entry: int(entry["value"]), default=None)

    async def validate(self, attributes: Attributes) -> None:
        request = attributes.request
        if request.resource.plural != "priorityclasses" or request.subresource:
            return
        made = attributes.object
        if attributes.operation not in ("CREATE", "UPDATE") or made is None or not made.get("globalDefault"):
            return
        for entry in await self._lookup.list(request.resource.path):
            if entry.get("globalDefault") and entry["metadata"]["name"] != made["metadata"]["name"]:
                other = entry["metadata"]["name"]
                why = f"PriorityClass {other} is already marked as default. Only one default can exist"
                raise forbidden(request.resource, attributes.name, why)
