"""The addresses and node ports of Services, given out in the very commit that stores the Service.

An address is taken by an IPAddress object and a port by a key of its own, each of which must not exist before: two
Services can never get the same, whoever asks at the same moment, and a crash leaves nothing taken by nobody. Source:
"Service ClusterIP allocation", "Virtual IPs", "IPv4/IPv6 dual-stack"; k8s.io/kubernetes, registry/core/service (texts).
"""

import ipaddress
import random
from collections.abc import Iterable, Sequence

from boxship.cluster.api.clock import Clock
from boxship.cluster.api.service_addresses import IP_KEY, AddressPool, Opened, address_object, as_it_is
from boxship.cluster.api.storage import ROOT
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Cause, Failure, internal, invalid
from boxship.cluster.objects.kept_ports import NODE_PORTS
from boxship.store import Delete, Operation, Put, Store

PORT_KEY = f"{ROOT}ranges/servicenodeports/"
FIRST_PORT, LAST_PORT = NODE_PORTS[0], NODE_PORTS[-1]
PORT_BAND = 86  # the first ports are given out on request only, as long as there are others
GUESSES = 64  # random tries before the ports are walked
NONE = "None"
EXTERNAL, NODE_PORT, LOAD_BALANCER = "ExternalName", "NodePort", "LoadBalancer"


class ServiceAddresses:
    """Implements drafts.Companion for Services of a cluster with one IPv4 range."""

    def __init__(self, store: Store, cidr: str, clock: Clock, opened: Opened = as_it_is) -> None:
        self._store = store
        self._pool = AddressPool(store, cidr, opened)
        self._clock = clock

    async def allot(self, new: Object | None, old: Object | None) -> Sequence[Operation]:
        if new is not None:
            if old is not None:
                _keep(new, old)
            self._default(new)
        before_ips, before_ports = addresses_of(old), ports_of(old)
        operations: list[Operation] = []
        if new is not None:
            operations += await self._take_addresses(new, before_ips)
            operations += await self._take_ports(new, before_ports)
        after_ips, after_ports = addresses_of(new), ports_of(new)
        operations += [Delete(f"{IP_KEY}{ip}") for ip in sorted(before_ips - after_ips)]
        operations += [Delete(f"{PORT_KEY}{port}") for port in sorted(before_ports - after_ports)]
        return operations

    def _default(self, service: Object) -> None:
        """The families of addresses, and both spellings of the address."""
        spec = service["spec"]
        if spec.get("type") == EXTERNAL:
            for field in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
                if not spec.get(field):
                    spec.pop(field, None)
            return
        first = spec.get("clusterIP")
        if first and not spec.get("clusterIPs"):
            spec["clusterIPs"] = [first]
        elif spec.get("clusterIPs") and not first:
            spec["clusterIP"] = spec["clusterIPs"][0]
        if spec.get("clusterIP") == NONE and not spec.get("selector"):
            policy = spec.setdefault("ipFamilyPolicy", "RequireDualStack")
            families = spec.setdefault("ipFamilies", ["IPv4"])
            if policy != "SingleStack" and len(families) == 1:
                families.append("IPv6" if families[0] == "IPv4" else "IPv4")
            return
        policy = spec.setdefault("ipFamilyPolicy", "SingleStack")
        families = spec.setdefault("ipFamilies", ["IPv4"])
        causes = []
        if policy == "RequireDualStack":
            why = f'Invalid value: "{policy}": this cluster is not configured for dual-stack services'
            causes.append(Cause("FieldValueInvalid", "spec.ipFamilyPolicy", why))
        for place, family in enumerate(families):
            if family == "IPv6":
                why = 'Invalid value: "IPv6": not configured on this cluster'
                causes.append(Cause("FieldValueInvalid", f"spec.ipFamilies[{place}]", why))
        if causes:
            raise _invalid(service, causes)

    async def _take_addresses(self, service: Object, known: set[str]) -> list[Operation]:
        spec = service["spec"]
        if spec.get("type") == EXTERNAL or spec.get("clusterIP") == NONE:
            return []
        asked = spec.get("clusterIP") or ""
        if asked in known:
            return []
        ip = await self._asked_address(service, asked) if asked else await self._pool.free()
        spec["clusterIP"] = ip
        spec["clusterIPs"] = [ip]
        return [Put(f"{IP_KEY}{ip}", address_object(service, ip, self._clock), expected=0)]

    async def _asked_address(self, service: Object, asked: str) -> str:
        """Raises Failure 422."""
        why = ""
        try:
            ip = ipaddress.IPv4Address(asked)
        except ValueError:
            return asked  # the kind's rules say what is wrong with it
        ranges = await self._pool.ranges()
        if not any(ip in one and ip not in (one.network_address, one.broadcast_address) for one in ranges):
            listed = ", ".join(map(str, ranges))
            why = f"the provided IP ({asked}) is not in the valid range. The range of valid IPs is {listed}"
        elif await self._store.get(f"{IP_KEY}{asked}") is not None:
            why = "provided IP is already allocated"
        if why:
            message = f'Invalid value: ["{asked}"]: failed to allocate IP {asked}: {why}'
            raise _invalid(service, [Cause("FieldValueInvalid", "spec.clusterIPs", message)])
        return asked

    async def _take_ports(self, service: Object, known: set[int]) -> list[Operation]:
        """Node ports for all ports that need one, and the one of health checks. The same number for several protocols
        is one node port."""
        spec = service["spec"]
        taken: set[int] = set()
        if _needs_node_ports(spec):
            by_port: dict[int, int] = {}
            for place, port in enumerate(spec.get("ports") or ()):
                number = port.get("port", 0)
                asked = port.get("nodePort") or by_port.get(number) or _asked_elsewhere(spec["ports"], number)
                if asked:
                    if asked not in known | taken:
                        await self._check_port(service, asked, f"spec.ports[{place}].nodePort")
                else:
                    asked = await self._free_port(known | taken)
                port["nodePort"] = asked
                by_port.setdefault(number, asked)
                taken.add(asked)
        if _needs_health_port(spec):
            asked = int(spec.get("healthCheckNodePort") or 0)
            if asked and asked not in known:
                await self._check_port(service, asked, "spec.healthCheckNodePort")
            asked = asked or await self._free_port(known | taken)
            spec["healthCheckNodePort"] = asked
            taken.add(asked)
        metadata = service["metadata"]
        owner = f"{metadata.get('namespace', '')}/{metadata.get('name', '')}".encode()
        return [Put(f"{PORT_KEY}{port}", owner, expected=0) for port in sorted(taken - known)]

    async def _check_port(self, service: Object, port: int, field: str) -> None:
        """Raises Failure 422."""
        why = ""
        if not FIRST_PORT <= port <= LAST_PORT:
            why = f"provided port is not in the valid range. The range of valid ports is {FIRST_PORT}-{LAST_PORT}"
        elif await self._store.get(f"{PORT_KEY}{port}") is not None:
            why = "provided port is already allocated"
        if why:
            raise _invalid(service, [Cause("FieldValueInvalid", field, f"Invalid value: {port}: {why}")])

    async def _free_port(self, taken: set[int]) -> int:
        guesses = [random.randint(FIRST_PORT + PORT_BAND, LAST_PORT) for _ in range(GUESSES)]
        ports: list[int] = [*guesses, *range(LAST_PORT, FIRST_PORT - 1, -1)]
        for port in ports:
            if port not in taken and await self._store.get(f"{PORT_KEY}{port}") is None:
                return port
        raise internal("failed to allocate a nodePort: range is full")


def _needs_address(spec: Object) -> bool:
    return spec.get("type") != EXTERNAL


def _needs_node_ports(spec: Object) -> bool:
    if spec.get("type") == LOAD_BALANCER:
        return spec.get("allocateLoadBalancerNodePorts") is not False
    return spec.get("type") == NODE_PORT


def _needs_health_port(spec: Object) -> bool:
    return spec.get("type") == LOAD_BALANCER and spec.get("externalTrafficPolicy") == "Local"


def addresses_of(service: Object | None) -> set[str]:
    spec = (service or {}).get("spec", {})
    if not service or not _needs_address(spec):
        return set()
    return {ip for ip in (spec.get("clusterIPs") or [spec.get("clusterIP")]) if ip and ip != NONE}


def ports_of(service: Object | None) -> set[int]:
    spec = (service or {}).get("spec", {})
    ports = {port["nodePort"] for port in spec.get("ports") or () if port.get("nodePort")}
    if spec.get("healthCheckNodePort"):
        ports.add(spec["healthCheckNodePort"])
    return ports


def _asked_elsewhere(ports: Sequence[Object], number: int) -> int:
    """The node port that another protocol's port of this number asks for."""
    asked: Iterable[int] = (port["nodePort"] for port in ports if port.get("port") == number and port.get("nodePort"))
    return next(iter(asked), 0)


def _keep(new: Object, old: Object) -> None:
    """What a client leaves out stays; what its type has no use for goes, unless it was set just now."""
    after, before = new["spec"], old["spec"]
    if _needs_address(before) and _needs_address(after):
        if not after.get("clusterIP") and not after.get("clusterIPs"):
            after["clusterIP"] = before.get("clusterIP", "")
        if not after.get("clusterIPs") and after.get("clusterIP") == before.get("clusterIP"):
            after["clusterIPs"] = list(before.get("clusterIPs") or ())
        for field in ("ipFamilies", "ipFamilyPolicy"):
            if field not in after and field in before:
                after[field] = before[field]
    elif not _needs_address(after) and after.get("clusterIP") == before.get("clusterIP"):
        for field in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"):
            after.pop(field, None)
    if _needs_node_ports(before) and _needs_node_ports(after):
        _keep_ports(after.get("ports") or (), before.get("ports") or ())
    elif _needs_node_ports(before):
        known = {port.get("nodePort") for port in before.get("ports") or ()}
        for port in after.get("ports") or ():
            if port.get("nodePort") in known:
                port.pop("nodePort", None)
    if _needs_health_port(before):
        if _needs_health_port(after):
            if not after.get("healthCheckNodePort"):
                after["healthCheckNodePort"] = before.get("healthCheckNodePort", 0)
        elif after.get("healthCheckNodePort") == before.get("healthCheckNodePort"):
            after.pop("healthCheckNodePort", None)
    if before.get("type") == LOAD_BALANCER != after.get("type"):
        for field in ("allocateLoadBalancerNodePorts", "loadBalancerClass"):
            if after.get(field) == before.get(field):
                after.pop(field, None)


def _keep_ports(after: Sequence[Object], before: Sequence[Object]) -> None:
    """Node ports by the names of their ports, where they are not used for another one now."""
    had = {port.get("name", ""): port.get("nodePort") for port in before}
    used = {port["nodePort"] for port in after if port.get("nodePort")}
    for port in after:
        known = had.get(port.get("name", ""))
        if not port.get("nodePort") and known and known not in used:
            port["nodePort"] = known
            used.add(known)


def _invalid(service: Object, causes: Sequence[Cause]) -> Failure:
    return invalid("", "Service", service["metadata"].get("name", ""), causes)
