"""The network room's values: its settings, its records in the store, and what it tells the engine of a network."""

from pathlib import Path

import msgspec

from boxship.spec.attachment import Endpoint
from boxship.spec.container import NetworkSpec, PublishedPort

PREDEFINED = ("bridge", "host", "none")


class AddressPool(msgspec.Struct, frozen=True):
    """Where new networks get their subnets: `base` in CIDR notation, cut into pieces of prefix length `size`."""

    base: str
    size: int


DEFAULT_POOLS = (
    AddressPool("172.17.0.0/16", 16),
    AddressPool("172.18.0.0/16", 16),
    AddressPool("172.19.0.0/16", 16),
    AddressPool("172.20.0.0/14", 16),
    AddressPool("172.24.0.0/14", 16),
    AddressPool("172.28.0.0/14", 16),
    AddressPool("192.168.0.0/16", 20),
)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The room's configuration. `mtu` 0 takes the uplink's; no `nameservers` means those of `resolv_conf`."""

    pools: tuple[AddressPool, ...] = DEFAULT_POOLS
    bridge_subnet: str = ""  # of the default bridge; "": from the pools
    mtu: int = 0
    nameservers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    resolver_options: tuple[str, ...] = ()
    default_host_address: str = "0.0.0.0"  # published ports without a host address
    resolv_conf: Path = Path("/etc/resolv.conf")
    hosts_file: Path = Path("/etc/hosts")
    address_lock: Path = Path("/run/boxship-addresses.lock")
    ready_namespaces: int = 4


class BridgeOptions(msgspec.Struct, frozen=True):
    """A bridge network's driver options, checked."""

    bridge: str  # interface name
    connected: bool = True  # containers reach each other (enable_icc)
    masquerade: bool = True
    host_address: str = ""  # published ports without a host address; "" is the room's default
    mtu: int = 0  # 0: the uplink's
    interface_prefix: str = "eth"
    routed: tuple[str, ...] = ()  # to these subnets containers go under their own addresses, and through the host only


class Network(msgspec.Struct, frozen=True, omit_defaults=True):
    """A network as it is. `spec` has its subnets filled in; `fixed` says that the user chose them."""

    id: str
    name: str
    created_at: int  # nanoseconds since the epoch
    driver: str  # "bridge", "host" or "null"
    spec: NetworkSpec
    fixed: bool = False
    bridge: BridgeOptions | None = None
    scope: str = "local"

    @property
    def predefined(self) -> bool:
        return self.name in PREDEFINED

    @property
    def resolves(self) -> bool:
        """Whether containers on it find each other by name."""
        return self.bridge is not None and not self.predefined

    @property
    def subnet(self) -> str:
        return self.spec.subnets[0].subnet if self.spec.subnets else ""

    @property
    def gateway(self) -> str:
        return self.spec.subnets[0].gateway if self.spec.subnets else ""


class EndpointRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """One interface of a container, as stored: what the engine sees, and what only we need to know."""

    endpoint: Endpoint
    veth: str = ""  # the host's end
    links: tuple[str, ...] = ()  # "container:alias"
    gateway_priority: int = 0
    announced: bool = False  # the neighbours must be told the hardware address
    bound: bool = False  # it speaks under its own addresses alone


class AttachmentRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """A container's place in the network, as stored under endpoints/CONTAINER_ID before anything is done."""

    container_id: str
    name: str
    namespace: str = ""  # path; "" is the host's
    endpoints: tuple[EndpointRecord, ...] = ()
    ports: tuple[PublishedPort, ...] = ()
    hostname: str = ""
    domainname: str = ""
    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    extra_hosts: tuple[str, ...] = ()
    resolver_ports: tuple[int, int] = (0, 0)  # UDP and TCP at 127.0.0.11; 0: no resolver
    group: str = ""  # its members share host ports and names
    virtual_name: str = ""  # one address stands for the group under this name


class VirtualAddress(msgspec.Struct, frozen=True):
    """One address of a network that stands for a group under a name, as stored under virtual-addresses/."""

    network_id: str
    group: str
    name: str
    address: str
