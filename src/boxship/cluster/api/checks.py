"""What is checked of every object that is sent, before its kind's own rules: is it what the path names, and does it
change anything. Pure; texts are those of the original.
"""

from collections.abc import Sequence
from typing import Any

from boxship.cluster.api.request import Request
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import bad_request

DOUBLE_OWNERS = (
    ".metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, "
    "and may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: {}"
)


def check_kind(value: Object, request: Request) -> None:
    """What is sent must be of the kind that the path names; a client may leave out both."""
    resource = request.resource
    kind, version = value.get("kind"), value.get("apiVersion")
    for field, found in (("Kind", kind), ("APIVersion", version)):
        if found is not None and not isinstance(found, str):
            raise bad_request(f"couldn't get version/kind; json parse error: {field} is not a string")
    if version and version != resource.api_version:
        raise bad_request(
            f"the API version in the data ({version}) does not match the expected API version ({resource.api_version})"
        )
    if kind and kind != resource.kind:
        why = f"converting (v1.{kind}) to (core.{resource.kind}): unknown conversion"
        raise bad_request(f'{kind} in version "{resource.version}" cannot be handled as a {resource.kind}: {why}')


def check_place(metadata: dict[str, Any], request: Request) -> None:
    """Name and namespace must be those of the path; they are filled in where nothing is said."""
    resource = request.resource
    name = metadata.get("name")
    if request.name:
        if not name and request.verb == "update":
            why = "name must be provided"
            raise bad_request(f"the name of the object ({request.name} based on URL) was undeterminable: {why}")
        if not name and request.verb != "create":
            metadata["name"] = request.name
        elif name != request.name:
            raise bad_request(f"the name of the object ({name}) does not match the name on the URL ({request.name})")
    if not resource.namespaced:
        metadata.pop("namespace", None)
        return
    namespace = metadata.get("namespace")
    if not namespace:
        metadata["namespace"] = request.namespace
    elif namespace != request.namespace:
        raise bad_request("the namespace of the provided object does not match the namespace sent on the request")


def check_same_place(object: Object, given: Object | None) -> None:
    """What admission has made of an object must be what the path names still: the key that it is kept under was found
    before."""
    before, after = (given or {}).get("metadata") or {}, object.get("metadata") or {}
    for field in ("kind", "apiVersion"):
        if object.get(field) != (given or {}).get(field):
            raise bad_request(f"admission changed the {field} of the object to {str(object.get(field))[:100]}")
    if before.get("name") and after.get("name") != before["name"]:
        shown, name = str(after.get("name"))[:100], before["name"]
        raise bad_request(f"the name of the object ({shown}) does not match the name on the URL ({name})")
    if after.get("namespace") != before.get("namespace"):
        raise bad_request("the namespace of the provided object does not match the namespace sent on the request")


def drop_double_owners(metadata: dict[str, Any], request: Request) -> None:
    """An owner is named once."""
    owners = metadata.get("ownerReferences")
    if not owners or len(owners) < 2:
        return
    kept: dict[str, Object] = {}
    twice: dict[str, None] = {}  # their names
    for owner in owners:
        if kept.setdefault(repr(sorted(owner.items())), owner) is not owner:
            twice[str(owner.get("uid", ""))] = None
    if twice:
        metadata["ownerReferences"] = list(kept.values())
        text = DOUBLE_OWNERS.format("; ".join(twice))
        if text not in request.warn:
            request.warn.append(text)


def same(new: Object, old: Object) -> bool:
    """Whether a write would change nothing but the times at which managers wrote."""
    if any(new.get(key) != old.get(key) for key in {*new, *old} - {"metadata"}):
        return False
    after, before = dict(new["metadata"]), dict(old["metadata"])
    managed = [_timeless(metadata.pop("managedFields", None)) for metadata in (after, before)]
    after.pop("resourceVersion", None)
    before.pop("resourceVersion", None)
    return after == before and managed[0] == managed[1]


def _timeless(managed: Sequence[Object] | None) -> list[Object]:
    """Their order follows the times, so it does not count either."""
    entries = [{key: value for key, value in entry.items() if key != "time"} for entry in managed or ()]
    return sorted(entries, key=lambda entry: [str(entry.get(key)) for key in ("manager", "operation", "subresource")])


def differ(new: Object, old: Object) -> bool:
    """Whether anything but metadata and status has changed."""
    return any(new.get(key) != old.get(key) for key in {*new, *old} - {"metadata", "status", "apiVersion"})


def name_in(value: Object) -> str:
    metadata = value.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else ""
    return name if isinstance(name, str) else ""
