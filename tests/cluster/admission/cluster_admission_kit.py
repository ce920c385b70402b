"""What plugins are tried with: a lookup over objects given by the test, and requests made in one line."""

from collections.abc import Sequence
from typing import Any

from boxship.cluster.api.admission import Attributes
from boxship.cluster.api.request import Request, User
from boxship.cluster.objects import Object
from boxship.cluster.objects.catalog import RESOURCES
from boxship.cluster.objects.failure import conflict
from boxship.cluster.objects.resource import Resource

ALICE = User("alice", ("system:authenticated",))
PATHS = {resource.path: resource for resource in RESOURCES}


def resource_at(path: str) -> Resource:
    return PATHS[path]


def named(name: str, namespace: str = "", **fields: Any) -> Object:
    metadata = {"name": name, **({"namespace": namespace} if namespace else {}), **fields.pop("metadata", {})}
    return {"metadata": metadata, **fields}


class Known:
    """A Lookup and a Writer over a dict from resource path to objects."""

    def __init__(self, **objects: Sequence[Object]) -> None:
        self.objects: dict[str, list[Object]] = {}
        self.writes = 0
        self.conflicts = 0  # writes that are refused first

    def put(self, path: str, *objects: Object) -> "Known":
        self.objects.setdefault(path, []).extend(objects)
        return self

    async def get(self, resource: str, namespace: str, name: str) -> Object | None:
        return next((each for each in await self.list(resource, namespace) if each["metadata"]["name"] == name), None)

    async def list(self, resource: str, namespace: str = "") -> Sequence[Object]:
        found = self.objects.get(resource, [])
        return [each for each in found if not namespace or each["metadata"].get("namespace") == namespace]

    async def update(self, resource: str, object: Object, *, subresource: str = "") -> Object:
        if self.conflicts:
            self.conflicts -= 1
            raise conflict(PATHS[resource], object["metadata"]["name"])
        self.writes += 1
        place = self.objects[resource]
        index = next(i for i, each in enumerate(place) if each["metadata"]["name"] == object["metadata"]["name"])
        place[index] = object
        return object


def write(
    path: str,
    made: Object | None,
    *,
    old: Object | None = None,
    operation: str = "CREATE",
    user: User = ALICE,
    subresource: str = "",
    dry_run: bool = False,
    namespace: str = "default",
) -> Attributes:
    """The attributes of one write. A namespaced object goes to "default"."""
    resource = PATHS[path]
    verb = {"CREATE": "create", "UPDATE": "update", "DELETE": "delete", "CONNECT": "connect"}[operation]
    name = str(((made or old or {}).get("metadata") or {}).get("name", ""))
    where = namespace if resource.namespaced else ""
    request = Request(user, verb, resource, where, name, subresource, warn=[], notes={})
    return Attributes(request, operation, name, made, old, dry_run=dry_run)


def pod(name: str = "p", *, requests: Object | None = None, limits: Object | None = None, **spec: Any) -> Object:
    """A pod of one container."""
    resources: Object = {}
    if requests is not None:
        resources["requests"] = requests
    if limits is not None:
        resources["limits"] = limits
    container = {"name": "c", "image": "i", **({"resources": resources} if resources else {})}
    return {"metadata": {"name": name, "namespace": "default"}, "spec": {"containers": [container], **spec}}
