"""The fingerprint of a service, network or volume: what is there is left alone as long as it is the same.

What does not change a running container is left out: how many there are, how they are replaced, how the image comes.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
from msgspec import structs

from boxship.compose.model import Network, Service, Volume


def service_hash(service: Service) -> str:
    """64 hexadecimal digits."""
    deploy = service.deploy
    if deploy is not None:
        deploy = structs.replace(deploy, replicas=None, update_config=None, rollback_config=None)
    return _digest(
        structs.replace(
            service, build=None, pull_policy="", scale=None, deploy=deploy, depends_on={}, profiles=(), develop=None
        )
    )


def network_hash(network: Network) -> str:
    return _digest(network)


def volume_hash(volume: Volume) -> str:
    return _digest(volume)


def _digest(value: Any) -> str:
    plain = msgspec.to_builtins(value)
    return hashlib.sha256(msgspec.json.encode(plain, order="sorted")).hexdigest()
