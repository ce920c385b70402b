"""The fingerprint of a service, network or volume: what is there is left alone as long as it is the same.

It is the stock program's own (its version 2.26): the digest of the JSON that its `config` prints, without how many
containers there are and how the image comes. So each program leaves alone what the other one
has made. Its version 2.40 leaves out what a service depends on; that digest is known as well.
It must never hold anything that differs from one run to the next.
"""

from __future__ import annotations

import hashlib
import json

from msgspec import structs

from boxship.compose.model import Network, Project, Service, Volume
from boxship.compose.parts import Model
from boxship.compose.printing import escaped, shown_value

DEFAULT_DRIVER = "local"


def service_hash(service: Service) -> str:
    """64 hexadecimal digits. The service must be as `load` gives it: with its variables resolved."""
    deploy = service.deploy
    if deploy is not None:
        deploy = structs.replace(deploy, replicas=None)
    return _digest(structs.replace(service, build=None, pull_policy="", scale=None, deploy=deploy))


def later_hash(service: Service) -> str:
    """What the stock program's version 2.40 writes to containers of the same service."""
    return service_hash(structs.replace(service, depends_on={}))


def grants_hash(project: Project, service: Service) -> str:
    """The digest of what the service's secrets and configurations hold, or nothing where it has none or they were not
    looked at. The stock program's fingerprint leaves it out."""
    given = [(project.secrets[grant.source], grant) for grant in service.secrets if grant.source in project.secrets]
    given += [(project.configs[grant.source], grant) for grant in service.configs if grant.source in project.configs]
    held = sorted((grant.target or f"/{grant.source}", material.digest) for material, grant in given if material.digest)
    return hashlib.sha256(json.dumps(held).encode()).hexdigest() if held else ""


def network_hash(network: Network) -> str:
    return _digest(network)


def volume_hash(volume: Volume) -> str:
    return _digest(structs.replace(volume, driver=volume.driver or DEFAULT_DRIVER))


def _digest(value: Model) -> str:
    text = json.dumps(shown_value(value, in_json=True), separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(escaped(text).encode()).hexdigest()
