"""Where a connection goes: the server behind a pod, a service or a node, and the path there.

A node's agent is reached by TLS with this server's own certificate, and known by its node's name; pods and services are
whatever they are, so a certificate of theirs proves nothing and is not looked at, as in the original. The client's own
credentials never leave this server.
"""

import ipaddress
import random
from collections.abc import Callable, Sequence
from urllib.parse import quote

import msgspec

from boxship.cluster.api.admission import Attributes, Lookup
from boxship.cluster.api.connecting.options import container_of, node_query, options_of
from boxship.cluster.api.drafts import Chain
from boxship.cluster.api.request import Request
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure, bad_request, internal, not_found, unavailable
from boxship.cluster.objects.log_options import read_log_options

AGENT_ADDRESS = "boxship.io/agent-address"
AGENT_PORT = 10250
ADDRESS_TYPES = ("InternalIP", "ExternalIP", "InternalDNS", "ExternalDNS", "Hostname")
SCHEMES = ("", "http", "https")


class Place(msgspec.Struct, frozen=True):
    """A server and what is asked of it. `node` is the name that a node's agent has to prove, "" for anything else."""

    host: str
    port: int
    target: str  # path and query
    secure: bool = False
    node: str = ""

    @property
    def url(self) -> str:
        shown = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.secure else 'http'}://{shown}:{self.port}{self.target}"


class Places:
    """Made once from its parts."""

    def __init__(self, lookup: Lookup, chain: Chain, allows: Callable[[str], bool] | None = None) -> None:
        """`allows` says of an address of a pod or service whether a client may be passed on to it."""
        self._lookup = lookup
        self._chain = chain
        self._allows = allows or is_elsewhere

    async def find(self, request: Request, target: str, now: int) -> Place | None:
        """Of a request for a pod's log, or a connect; `target` is what the client sent, `now` nanoseconds since the
        epoch. None: there is nothing to say yet (the log of a pod without a node). Raises Failure."""
        if request.subresource == "log":
            return await self._log(request, target, now)
        kind = request.resource.subresources[request.subresource].kind
        options = options_of(request.subresource, kind, request.options.parameters, request.path)
        attributes = Attributes(request, "CONNECT", request.name, options, None)
        await self._chain.admit(attributes)
        await self._chain.validate(attributes)
        if request.subresource != "proxy":
            return await self._of_pod(request, options)
        if request.resource.plural == "nodes":
            return await self._node_proxy(request, target)
        if request.resource.plural == "services":
            return await self._service_proxy(request, target)
        return await self._pod_proxy(request, target)

    async def _pod(self, request: Request, name: str) -> Object:
        pod = await self._lookup.get("v1/pods", request.namespace, name)
        if pod is None:
            raise not_found(request.resource, name)
        return pod

    async def _log(self, request: Request, target: str, now: int) -> Place | None:
        parameters = request.options.parameters
        read_log_options(parameters, now)
        pod = await self._pod(request, request.name)
        container = container_of(pod, (parameters.get("container") or ("",))[0], logs=True)
        node = pod["spec"].get("nodeName")
        if not node:
            return None
        query = target.partition("?")[2]
        path = f"/containerLogs/{request.namespace}/{request.name}/{quote(container)}"
        return await self._at_node(node, f"{path}?{query}" if query else path)

    async def _of_pod(self, request: Request, options: Object) -> Place:
        pod = await self._pod(request, request.name)
        node = pod["spec"].get("nodeName")
        where = f"{request.namespace}/{request.name}"
        if request.subresource == "portforward":
            verb = "portForward"
        else:
            verb = request.subresource
            where += f"/{quote(container_of(pod, options.get('container') or ''))}"
        if not node:
            raise bad_request(f"pod {request.name} does not have a host assigned")
        return await self._at_node(node, f"/{verb}/{where}{node_query(request.subresource, options)}")

    async def _at_node(self, name: str, target: str) -> Place:
        node = await self._lookup.get("v1/nodes", "", name)
        if node is None:
            raise Failure(404, "NotFound", f'nodes "{name}" not found', name=name, kind="nodes")
        host, port = agent_of(node)
        return Place(host, port, target, secure=True, node=name)

    async def _node_proxy(self, request: Request, target: str) -> Place:
        scheme, name, port = split_name(request.name)
        node = await self._lookup.get("v1/nodes", "", name)
        if node is None:
            raise not_found(request.resource, name)
        host, own = agent_of(node)
        if port and port != str(own):
            if not port.isdigit():
                raise bad_request(f'invalid node request "{request.name}"')
            if not self._allows(host):
                raise bad_request("address not allowed")
            return Place(host, int(port), rest_of(target, request), secure=scheme == "https")
        return Place(host, own, rest_of(target, request), secure=True, node=name)

    async def _pod_proxy(self, request: Request, target: str) -> Place:
        scheme, name, port = split_name(request.name)
        pod = await self._pod(request, name)
        number = int(port) if port.isdigit() else pod_port(pod, port)
        address = (pod.get("status") or {}).get("podIP") or ""
        if not self._allows(address):
            raise bad_request("address not allowed")
        return Place(address, number, rest_of(target, request), secure=scheme == "https")

    async def _service_proxy(self, request: Request, target: str) -> Place:
        scheme, name, port = split_name(request.name)
        service = await self._lookup.get("v1/services", request.namespace, name)
        if service is None:
            raise not_found(request.resource, name)
        wanted = service_port(service, port)
        slices = [
            each
            for each in await self._lookup.list("discovery.k8s.io/v1/endpointslices", request.namespace)
            if (each["metadata"].get("labels") or {}).get("kubernetes.io/service-name") == name
        ]
        found = endpoints_of(slices, wanted)
        if not found:
            raise unavailable(f'no endpoints available for service "{name}"')
        address, number = random.choice(found)
        if not self._allows(address):
            raise bad_request("address not allowed")
        return Place(address, number, rest_of(target, request), secure=scheme == "https")


def is_elsewhere(address: str) -> bool:
    """Whether it can be the address of a pod or node: neither this server itself nor something only it can reach, such
    as a cloud's metadata."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    return not (found.is_loopback or found.is_link_local or found.is_multicast or found.is_unspecified)


def agent_of(node: Object) -> tuple[str, int]:
    """Address and port of a node's agent. Raises Failure."""
    told = (node["metadata"].get("annotations") or {}).get(AGENT_ADDRESS, "")
    host, colon, port = told.rpartition(":")
    if colon and port.isdigit() and host:
        return host.strip("[]"), int(port)
    status = node.get("status") or {}
    endpoint = ((status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}).get("Port") or AGENT_PORT
    known = {each.get("type"): each.get("address") for each in reversed(status.get("addresses") or ())}
    for kind in ADDRESS_TYPES:
        if known.get(kind):
            return str(known[kind]), int(endpoint)
    raise internal("no preferred addresses found; known addresses: []")


def split_name(name: str) -> tuple[str, str, str]:
    """Scheme, name and port of "[https:]name[:port]". Raises Failure 400."""
    parts = name.split(":")
    if len(parts) > 3:
        raise bad_request(f'invalid request "{name}"')
    scheme = parts.pop(0) if len(parts) == 3 else ""
    found = scheme, parts[0], parts[1] if len(parts) > 1 else ""
    if found[0] not in SCHEMES or not found[1]:
        raise bad_request(f'invalid request "{name}"')
    return found


def pod_port(pod: Object, name: str) -> int:
    """The container port of that name; without a name the first one. Raises Failure 400."""
    for container in pod["spec"].get("containers") or ():
        for port in container.get("ports") or ():
            if not name or port.get("name") == name:
                return int(port["containerPort"])
    if not name:
        return 80
    raise bad_request(f'no port named "{name}" in pod {pod["metadata"]["name"]}')


def service_port(service: Object, port: str) -> str:
    """The name of the service's port that is meant by a name or a number. Raises Failure."""
    ports: Sequence[Object] = (service.get("spec") or {}).get("ports") or ()
    if not port and len(ports) == 1:
        return str(ports[0].get("name") or "")
    for each in ports:
        if port in (each.get("name") or "", str(each.get("port"))):
            return str(each.get("name") or "")
    raise unavailable(f'no endpoints available for service "{service["metadata"]["name"]}"')


def endpoints_of(slices: Sequence[Object], port: str) -> list[tuple[str, int]]:
    """Ready addresses with the number of the port of that name."""
    found: list[tuple[str, int]] = []
    for each in slices:
        numbers = [entry.get("port") for entry in each.get("ports") or () if (entry.get("name") or "") == port]
        for endpoint in each.get("endpoints") or ():
            if (endpoint.get("conditions") or {}).get("ready") is False:
                continue
            found += [(address, int(number)) for number in numbers if number for address in endpoint["addresses"][:1]]
    return found


def rest_of(target: str, request: Request) -> str:
    """What lies behind ".../proxy" in what the client sent, with its query, as it wrote it."""
    path, mark, query = target.partition("?")
    words = path.split("/")
    place = words.index("proxy", 4) if "proxy" in words[4:] else len(words)
    for start in range(4, len(words)):  # the object itself may be named "proxy"
        if words[start] == "proxy" and words[start - 2] == request.resource.plural:
            place = start
            break
    rest = "/" + "/".join(words[place + 1 :])
    return f"{rest}{mark}{query}"


def redirected(location: str, place: Place, prefix: str) -> str:
    """A Location of a proxied server as the client has to see it: below the proxy's own path."""
    origin = place.url.removesuffix(place.target)
    if location.startswith(origin):
        location = location[len(origin) :] or "/"
    return f"{prefix.rstrip('/')}{location}" if location.startswith("/") else location
