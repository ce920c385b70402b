"""POST pods/NAME/eviction and pods/NAME/binding: requests that are not the object that they change.

An eviction is a deletion that asks the pod's disruption budget first. The budget is charged before the pod goes, so a
crash between the two only leaves a charge, which its controller takes back after a while.
"""

from collections.abc import Sequence

import msgspec

from boxship.cluster.api.admission import Lookup
from boxship.cluster.api.attempts import ATTEMPTS
from boxship.cluster.api.catalog import Catalog
from boxship.cluster.api.deleting import Deleting
from boxship.cluster.api.deletions import check_preconditions
from boxship.cluster.api.drafts import Chain, Steps, Way, status
from boxship.cluster.api.request import Answer, Options, Request
from boxship.cluster.api.writing import Writing
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import (
    Cause,
    Failure,
    bad_request,
    conflict,
    forbidden,
    internal,
    invalid,
    not_found,
)
from boxship.cluster.objects.kinds.core_pod_updates import validate_binding
from boxship.cluster.objects.resource import Resource
from boxship.cluster.objects.rules import accept_both, keep_both
from boxship.cluster.objects.selectors import of_object
from boxship.cluster.objects.times import stamp

DISRUPTED_LIMIT = 2000  # pods that a budget remembers
RETRY_AFTER = 10  # seconds
DISRUPTION = "DisruptionTarget"
REFUSED = "Cannot evict pod as it would violate the pod's disruption budget."
SEVERAL = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
DONE = b'{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Success","code":201}'


class _Changed(Exception):
    """The pod is not any more what was decided on."""


class PodRequests:
    """Answers evictions and bindings."""

    def __init__(
        self, catalog: Catalog, lookup: Lookup, chain: Chain, steps: Steps, writing: Writing, deleting: Deleting
    ) -> None:
        self._catalog = catalog
        self._lookup = lookup
        self._chain = chain
        self._steps = steps
        self._writing = writing
        self._deleting = deleting

    async def bind(self, request: Request) -> Answer:
        """Also of what is posted to `bindings`, which names its pod itself."""
        binding = await self._read(request, "", "v1", "Binding")
        name = request.name or binding["metadata"].get("name", "")
        causes = validate_binding(binding)
        if causes:
            raise invalid("", "Binding", name, causes)
        pods = self._resource("v1/pods")
        request = msgspec.structs.replace(request, resource=pods, name=name, subresource="binding", verb="update")
        definition = self._catalog.definition(pods)

        async def build(old: Object | None) -> Object:
            assert old is not None
            return _bound(pods, name, old, binding, stamp(self._steps.now()))

        way = Way(keep_both, accept_both, counts=False)
        await self._writing.change(request, definition, build, way, admitted=False)
        return Answer(201, DONE)

    async def evict(self, request: Request) -> Answer:
        eviction = await self._read(request, "policy", "v1", "Eviction", ("policy/v1beta1",))
        name = eviction["metadata"].get("name") or request.name
        if name != request.name:
            raise bad_request(f"name in URL does not match name in Eviction object: {request.name} {name}")
        options = _options(request.options, eviction.get("deleteOptions") or {})
        request = msgspec.structs.replace(request, options=options)
        for left in reversed(range(ATTEMPTS)):
            try:
                await self._evict(request)
                return Answer(201, DONE)
            except _Changed:
                if not left:
                    raise conflict(self._resource("v1/pods"), name) from None
        raise AssertionError("unreachable")

    async def _evict(self, request: Request) -> None:
        """One try on the pod as it is now. Raises _Changed where it would have counted otherwise meanwhile."""
        pods = self._resource("v1/pods")
        pod = await self._lookup.get(pods.path, request.namespace, request.name)
        if pod is None:
            raise not_found(pods, request.name)
        check_preconditions(pods, request.name, request.options, pod)
        pinned = pod.get("status", {}).get("phase") == "Pending"
        if not _may_always_go(pod):
            pinned = await self._ask_budget(request, pods, pod)
        version = pod["metadata"]["resourceVersion"] if pinned or request.options.precondition_version else ""
        if not pod["metadata"].get("deletionTimestamp"):
            version = await self._mark(request, pods, version)
        options = msgspec.structs.replace(request.options, precondition_version=version)
        delete = msgspec.structs.replace(request, verb="delete", subresource="", body=None, options=options)
        try:
            await self._deleting.delete_object(delete, self._catalog.definition(pods))
        except Failure as failure:
            if version and failure.reason == "Conflict":
                raise _Changed from None
            raise

    async def _mark(self, request: Request, pods: Resource, version: str) -> str:
        """Say in the pod why it goes, if it still is the version (if one is given); the version that it has then."""
        definition = self._catalog.definition(pods)
        options = msgspec.structs.replace(request.options, precondition_version="")
        mark = msgspec.structs.replace(request, subresource="status", verb="update", body=None, options=options)
        now = stamp(self._steps.now())

        async def build(old: Object | None) -> Object:
            assert old is not None
            if version and old["metadata"]["resourceVersion"] != version:
                raise _Changed
            return _marked(old, now)

        entry, _ = await self._writing.change(mark, definition, build, status(definition), admitted=False)
        return str(entry.modified) if version and not request.options.dry_run else version

    async def _ask_budget(self, request: Request, pods: Resource, pod: Object) -> bool:
        """Charge the budget that the pod has. Whether it goes without a charge, and so only as it is now. Raises
        Failure 429."""
        labels = pod["metadata"].get("labels")
        budgets = [
            budget
            for budget in await self._lookup.list("policy/v1/poddisruptionbudgets", request.namespace)
            if "selector" in budget.get("spec", {}) and of_object(budget["spec"]["selector"]).matches(labels)
        ]
        if not budgets:
            return False
        if len(budgets) > 1:
            raise internal(SEVERAL)
        budget = budgets[0]
        if not _ready(pod) and _lets_unready_go(budget):
            return True
        resource = self._resource("policy/v1/poddisruptionbudgets")
        definition = self._catalog.definition(resource)
        name = budget["metadata"]["name"]
        charge = msgspec.structs.replace(
            request, resource=resource, name=name, subresource="status", verb="update", body=None
        )
        now = stamp(self._steps.now())

        async def build(old: Object | None) -> Object:
            assert old is not None
            return _charged(pods, old, pod["metadata"]["name"], now)

        await self._writing.change(charge, definition, build, status(definition), admitted=False)
        return False

    async def _read(self, request: Request, group: str, version: str, kind: str, older: Sequence[str] = ()) -> Object:
        """The object that was posted, checked and admitted."""
        object, attributes = self._steps.posted(request, group, version, kind, older)
        await self._chain.admit(attributes)
        await self._chain.validate(attributes)
        return attributes.object or object

    def _resource(self, path: str) -> Resource:
        found = self._catalog.at(path)
        assert found is not None
        return found


def _bound(pods: Resource, name: str, pod: Object, binding: Object, now: str) -> Object:
    """The pod on its node. Raises Failure 409."""
    shown = msgspec.structs.replace(pods, plural="pods/binding")
    metadata, asked = pod["metadata"], binding["metadata"]
    spec = pod.get("spec", {})
    why = ""
    if asked.get("uid") and asked["uid"] != metadata["uid"]:
        why = f"Precondition failed: UID in precondition: {asked['uid']}, UID in object meta: {metadata['uid']}"
    elif metadata.get("deletionTimestamp"):
        why = f"pod {name} is being deleted, cannot be assigned to a host"
    elif spec.get("nodeName"):
        why = f'pod {name} is already assigned to node "{spec["nodeName"]}"'
    elif spec.get("schedulingGates"):
        why = f"pod {name} has non-empty .spec.schedulingGates"
    if why:
        raise conflict(shown, name, why)
    status = {
        key: value for key, value in pod.get("status", {}).items() if key != "nominatedNodeName"
    }  # it has one now
    conditions = [each for each in status.get("conditions") or () if each.get("type") != "PodScheduled"]
    scheduled = {"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": now}
    new = {
        **pod,
        "metadata": {key: value for key, value in metadata.items() if key != "resourceVersion"},
        "spec": {**spec, "nodeName": binding["target"]["name"]},
        "status": {**status, "conditions": [*conditions, scheduled]},
    }
    for field in ("annotations", "labels"):
        if asked.get(field):
            new["metadata"][field] = {**(metadata.get(field) or {}), **asked[field]}
    return new


def _marked(pod: Object, now: str) -> Object:
    """With the condition that says why it goes."""
    found = pod.get("status", {})
    conditions = list(found.get("conditions") or ())
    if any(one.get("type") == DISRUPTION and one.get("status") == "True" for one in conditions):
        return pod
    said = {"type": DISRUPTION, "status": "True", "lastProbeTime": None, "lastTransitionTime": now}
    said |= {"reason": "EvictionByEvictionAPI", "message": "Eviction API: evicting"}
    conditions = [*(one for one in conditions if one.get("type") != DISRUPTION), said]
    metadata = {key: value for key, value in pod["metadata"].items() if key != "resourceVersion"}
    return {**pod, "metadata": metadata, "status": {**found, "conditions": conditions}}


def _options(options: Options, sent: Object) -> Options:
    """The options of the deletion, as the Eviction has them."""
    preconditions = sent.get("preconditions") or {}
    return msgspec.structs.replace(
        options,
        dry_run=options.dry_run or bool(sent.get("dryRun")),
        grace=sent.get("gracePeriodSeconds", options.grace),
        propagation=sent.get("propagationPolicy", options.propagation),
        precondition_uid=preconditions.get("uid", ""),
        precondition_version=preconditions.get("resourceVersion", ""),
    )


def _may_always_go(pod: Object) -> bool:
    """Whether no budget counts this pod."""
    phase = pod.get("status", {}).get("phase")
    return phase in ("Succeeded", "Failed", "Pending") or bool(pod["metadata"].get("deletionTimestamp"))


def _ready(pod: Object) -> bool:
    conditions: Sequence[Object] = pod.get("status", {}).get("conditions") or ()
    return any(each.get("type") == "Ready" and each.get("status") == "True" for each in conditions)


def _lets_unready_go(budget: Object) -> bool:
    if budget["spec"].get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return True
    found = budget.get("status", {})
    desired: int = found.get("desiredHealthy", 0)
    current: int = found.get("currentHealthy", 0)
    return current >= desired > 0


def _charged(pods: Resource, budget: Object, pod: str, now: str) -> Object:
    """The budget after one more disruption. Raises Failure 429 or 403."""
    metadata, found = budget["metadata"], budget.get("status", {})
    name = metadata["name"]
    if found.get("observedGeneration", 0) < metadata.get("generation", 0):
        raise _too_many(f"The disruption budget {name} is still being processed by the server.", RETRY_AFTER)
    allowed = found.get("disruptionsAllowed", 0)
    disrupted = found.get("disruptedPods") or {}
    if allowed < 0:
        raise forbidden(pods, pod, "pdb disruptions allowed is negative")
    if len(disrupted) > DISRUPTED_LIMIT:
        raise forbidden(pods, pod, "DisruptedPods map too big - too many evictions not confirmed by PDB controller")
    if allowed == 0:
        desired, current = found.get("desiredHealthy", 0), found.get("currentHealthy", 0)
        raise _too_many(f"The disruption budget {name} needs {desired} healthy pods and has {current} currently")
    changed = {**found, "disruptionsAllowed": allowed - 1, "disruptedPods": {**disrupted, pod: now}}
    return {**budget, "metadata": dict(metadata), "status": changed}


def _too_many(why: str, retry_after: int = 0) -> Failure:
    cause = Cause("DisruptionBudget", "", why)
    return Failure(429, "TooManyRequests", REFUSED, causes=[cause], retry_after=retry_after)
