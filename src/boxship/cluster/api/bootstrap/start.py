"""Makes what a cluster begins with, and completes at each start what an older version left or somebody took away.

Every object is compared with what is there, so this can be repeated, and several servers may do it at once. What people
added stays: a role only gains rules (but for those that `joining` takes back), a binding only subjects, unless its
annotation says that it is not to be touched.
"""

import asyncio
import ipaddress
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from boxship.cluster.access import Client
from boxship.cluster.api.authorization.rules import missing, rules_of
from boxship.cluster.api.bootstrap import controllers, flows, joining, objects, roles
from boxship.cluster.api.bootstrap.joining import TAKEN_BACK
from boxship.cluster.api.bootstrap.objects import Site
from boxship.cluster.api.bootstrap.writing import AUTOUPDATE
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure
from boxship.cluster.objects.times import stamp

SLICES = "discovery.k8s.io/v1/endpointslices"
AT_ONCE = 16  # writes
TRIES = 5
RBAC = "rbac.authorization.k8s.io/v1"
FLOWS = flows.API_VERSION
Completes = Callable[[Object, Object], Object | None]


async def begin(client: Client, site: Site) -> None:
    """Everything is there when this returns. `client` acts for the API server itself."""
    await _settle(client, "v1/namespaces", objects.namespaces(), leave)
    ranges = "networking.k8s.io/v1/servicecidrs"
    await _settle(client, ranges, [objects.service_cidr(site)], leave)
    await _set_ready(client, ranges)
    maps = [objects.extension_authentication(site), objects.cluster_info(site)]
    await _settle(
        client, f"{RBAC}/clusterroles", [*roles.PEOPLE, *roles.PARTS, *joining.ROLES, *controllers.ROLES], complete_role
    )
    await asyncio.gather(
        _settle(
            client,
            f"{RBAC}/clusterrolebindings",
            [*roles.CLUSTER_BINDINGS, *joining.CLUSTER_BINDINGS, *controllers.BINDINGS],
            complete_binding,
        ),
        _settle(client, f"{RBAC}/roles", [*roles.IN_NAMESPACES, *joining.IN_NAMESPACES], complete_role),
        _settle(client, f"{FLOWS}/prioritylevelconfigurations", flows.LEVELS, complete_flow),
        _settle(client, f"{FLOWS}/flowschemas", flows.SCHEMAS, complete_flow),
        _settle(client, "scheduling.k8s.io/v1/priorityclasses", objects.priority_classes(), leave),
        settle_one(client, "storage.k8s.io/v1/storageclasses", objects.storage_class(), leave),
        _settle(client, "networking.k8s.io/v1/ingressclasses", [objects.ingress_class()], leave),
        *(settle_one(client, "v1/configmaps", config, replace_data) for config in maps),
        *(
            settle_one(client, f"{RBAC}/rolebindings", one, complete_binding)
            for one in (*roles.NAMESPACE_BINDINGS, *joining.NAMESPACE_BINDINGS)
        ),
        *(settle_one(client, "v1/services", one, leave) for one in (objects.service(site), *joining.dns_service(site))),
    )
    await announce(client, site, present=True)


async def announce(client: Client, site: Site, *, present: bool) -> None:
    """This server's address is among those of the `kubernetes` Service, or, when it ends, is not."""
    current = await _found(client, SLICES, "default", objects.SERVICE)
    known = [address for address in objects.addresses_of(current or {}) if address != site.address]
    await set_addresses(client, site, sorted([*known, site.address] if present else known))


async def set_addresses(client: Client, site: Site, addresses: Sequence[str]) -> None:
    """The `kubernetes` Service leads to these addresses. Without any it stays as it is: the last server has ended, and
    the next one will say so itself."""
    if not addresses or ipaddress.ip_address(site.address).is_loopback:
        return  # to a loopback address nobody but this machine's own programs could go
    await settle_one(client, SLICES, objects.endpoint_slice(addresses, site.port), replace_endpoints)
    await settle_one(client, "v1/endpoints", objects.endpoints(addresses, site.port), replace_endpoints)


def replace_endpoints(current: Object, wanted: Object) -> Object | None:
    """The endpoints as they are wanted."""
    parts = [key for key in wanted if key in ("subsets", "endpoints", "ports")]
    if all(holds(current.get(part), wanted[part]) for part in parts):
        return None
    return {**wanted, "metadata": {**current["metadata"], **wanted["metadata"]}}


def leave(_: Object, __: Object) -> Object | None:
    """What is there stays as it is."""
    return None


def complete_role(current: Object, wanted: Object) -> Object | None:
    """The role with the rules that it lacks; None: it lacks none."""
    if not is_ours(current, AUTOUPDATE):
        return None
    known = [rule for rule in current.get("rules") or () if rule not in TAKEN_BACK.get(wanted["metadata"]["name"], ())]
    lacking = missing(rules_of({**current, "rules": known}), rules_of(wanted))
    taken = len(known) < len(current.get("rules") or ())
    aggregation = wanted.get("aggregationRule")
    unlabelled = _without(current, wanted)
    if not lacking and not taken and not unlabelled and (not aggregation or current.get("aggregationRule")):
        return None
    made = {**current, "metadata": _metadata(current, wanted)}
    made["rules"] = [*known, *([rule.object() for rule in lacking])]
    if aggregation and not current.get("aggregationRule"):
        made["aggregationRule"] = aggregation
    return made


def complete_binding(current: Object, wanted: Object) -> Object | None:
    """The binding with the subjects that it lacks. One to another role is somebody's own."""
    if not is_ours(current, AUTOUPDATE) or current.get("roleRef") != wanted["roleRef"]:
        return None
    known = {_subject(subject) for subject in current.get("subjects") or ()}
    lacking = [subject for subject in wanted["subjects"] if _subject(subject) not in known]
    if not lacking and not _without(current, wanted):
        return None
    subjects = [*(current.get("subjects") or ()), *lacking]
    return {**current, "metadata": _metadata(current, wanted), "subjects": subjects}


def complete_flow(current: Object, wanted: Object) -> Object | None:
    """A priority level or flow schema as it should be, unless somebody has taken it over."""
    if not is_ours(current, flows.AUTOUPDATE) or holds(current.get("spec"), wanted["spec"]):
        return None
    return {**current, "spec": wanted["spec"]}


def replace_data(current: Object, wanted: Object) -> Object | None:
    """The config map with our data beside what others keep there."""
    data = {**(current.get("data") or {}), **wanted["data"]}
    return None if data == current.get("data") else {**current, "data": data}


def is_ours(object: Object, annotation: str) -> bool:
    return (object["metadata"].get("annotations") or {}).get(annotation) == "true"


def holds(current: Any, wanted: Any) -> bool:
    """Whether all that is wanted is there; fields that the API has filled in are no difference."""
    if isinstance(wanted, dict):
        return isinstance(current, dict) and all(holds(current.get(key), value) for key, value in wanted.items())
    if isinstance(wanted, list):
        return isinstance(current, list) and len(current) == len(wanted) and all(map(holds, current, wanted))
    return bool(current == wanted)


def _without(current: Object, wanted: Object) -> bool:
    labels = current["metadata"].get("labels") or {}
    return not wanted["metadata"]["labels"].items() <= labels.items()


def _metadata(current: Object, wanted: Object) -> Object:
    metadata = dict(current["metadata"])
    metadata["labels"] = {**(metadata.get("labels") or {}), **wanted["metadata"]["labels"]}
    return metadata


def _subject(subject: Object) -> tuple[str, str, str]:
    return subject.get("kind", ""), subject.get("namespace", ""), subject.get("name", "")


async def _set_ready(client: Client, ranges: str) -> None:
    current = await client.get(ranges, "", objects.SERVICE)
    if not (current.get("status") or {}).get("conditions"):
        status = objects.ready_condition(stamp(datetime.now(UTC)))
        await client.patch(ranges, "", objects.SERVICE, {"status": status}, subresource="status")


async def _settle(client: Client, resource: str, wanted: Sequence[Object], complete: Completes) -> None:
    """Several objects of one resource: one list, then what is missing, some at once."""
    listing = await client.list(resource)
    known = {(_place(item)): item for item in listing.items}
    room = asyncio.Semaphore(AT_ONCE)

    async def settle(object: Object) -> None:
        async with room:
            await _write(client, resource, known.get(_place(object)), object, complete)

    await asyncio.gather(*map(settle, wanted))


async def settle_one(client: Client, resource: str, wanted: Object, complete: Completes) -> None:
    namespace, name = _place(wanted)
    await _write(client, resource, await _found(client, resource, namespace, name), wanted, complete)


async def _write(client: Client, resource: str, current: Object | None, wanted: Object, complete: Completes) -> None:
    namespace, name = _place(wanted)
    for _ in range(TRIES):
        try:
            if current is None:
                await client.create(resource, namespace, wanted)
            else:
                completed = complete(current, wanted)
                if completed is not None:
                    await client.update(resource, completed)
            return
        except Failure as failure:
            if failure.reason not in ("AlreadyExists", "Conflict", "NotFound"):
                raise
            current = await _found(client, resource, namespace, name)  # another server was faster


async def _found(client: Client, resource: str, namespace: str, name: str) -> Object | None:
    try:
        return await client.get(resource, namespace, name)
    except Failure as failure:
        if failure.reason != "NotFound":
            raise
        return None


def _place(object: Object) -> tuple[str, str]:
    return object["metadata"].get("namespace", ""), object["metadata"]["name"]
