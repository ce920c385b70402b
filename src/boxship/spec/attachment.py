"""What the network room hands back for a container: a value that the runtime and the doors can read, not an object."""

import msgspec

from boxship.spec.container import PublishedPort


class Endpoint(msgspec.Struct, frozen=True, omit_defaults=True):
    """One interface of a container on one network. Addresses are text; prefix lengths in bits."""

    network_id: str
    network_name: str
    endpoint_id: str
    interface: str = ""  # inside the container: "eth0"
    mac_address: str = ""
    ipv4_address: str = ""
    ipv4_prefix: int = 0
    gateway: str = ""
    aliases: tuple[str, ...] = ()
    dns_names: tuple[str, ...] = ()


class Attachment(msgspec.Struct, frozen=True, omit_defaults=True):
    """A container's place in the network. `namespace` is the path of its network namespace ("" is the host's)."""

    namespace: str = ""
    endpoints: tuple[Endpoint, ...] = ()
    ports: tuple[PublishedPort, ...] = ()
    resolv_conf: str = ""  # the whole text of the file
    hosts: str = ""  # the whole text of the file
