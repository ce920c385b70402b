"""How a service's replicas are replaced: what `deploy.update_config` says, and what is safe where it says nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from boxship.compose.model import Service
from boxship.compose.parts import UpdateConfig
from boxship.compose.planning.actions import RollPolicy
from boxship.compose.planning.matching import Wanted, anonymous_volumes
from boxship.compose.planning.observed import LABEL_GROUP, SeenContainer
from boxship.errors import Invalid
from boxship.spec.duration import SECOND, parse_duration

MONITOR_SECONDS = 1.0  # how long one without a health check has to stay up before it counts
ACTIONS = ("pause", "continue", "rollback")
ORDERS = ("start-first", "stop-first")


def rolls(service: Service, scale: int) -> bool:
    """Whether the service is replaced one replica after the other, under watch."""
    return scale > 1 or (service.deploy is not None and service.deploy.update_config is not None)


def has_check(service: Service) -> bool:
    """Whether the file gives it a health check; the image may have one that it does not know of."""
    check = service.healthcheck
    return check is not None and not check.disable and bool(check.test) and check.test[0] != "NONE"


def policy_of(service: Service) -> tuple[RollPolicy, RollPolicy]:
    """Of the update, and of taking it back."""
    deploy = service.deploy
    config = deploy.update_config if deploy is not None else None
    back = deploy.rollback_config if deploy is not None else None
    return (
        _policy(f"service {service.name!r}: update_config", service, config or UpdateConfig(), "rollback"),
        _policy(f"service {service.name!r}: rollback_config", service, back or UpdateConfig(parallelism=0), "pause"),
    )


def _policy(where: str, service: Service, config: UpdateConfig, on_failure: str) -> RollPolicy:
    if config.failure_action and config.failure_action not in ACTIONS:
        raise Invalid(f"{where}.failure_action must be one of {', '.join(ACTIONS)}, not {config.failure_action!r}")
    if config.order and config.order not in ORDERS:
        raise Invalid(f"{where}.order must be one of {', '.join(ORDERS)}, not {config.order!r}")
    monitor = 0.0 if has_check(service) else MONITOR_SECONDS
    return RollPolicy(
        parallelism=1 if config.parallelism is None else config.parallelism,
        delay=seconds(config.delay),
        monitor=seconds(config.monitor) if config.monitor else monitor,
        on_failure=config.failure_action or on_failure,
        max_failure_ratio=config.max_failure_ratio,
    )


def seconds(duration: str) -> float:
    """Of a duration's text; 0 for none."""
    return parse_duration(duration) / SECOND if duration else 0.0


def start_first(wanted: Wanted, old: Iterable[SeenContainer], warn: Callable[[str], None], *, keeps: bool) -> bool:
    """Whether the new container may run beside the old one. `keeps`: it takes over the old one's anonymous volumes.
    Where the file asks for it, only what cannot be (an address that is taken) is in the way."""
    service = wanted.service
    deploy = service.deploy
    order = deploy.update_config.order if deploy is not None and deploy.update_config is not None else ""
    if order == "stop-first":
        return False
    old = tuple(old)
    hurdle = _impossible(service) or _alone(service, old)
    if order == "start-first":
        if hurdle:
            warn(f"service {service.name!r} cannot be updated start-first: {hurdle}; it is updated stop-first")
        return not hurdle
    if not hurdle and wanted.scale == 1:
        hurdle = _exclusive(service)
    if not hurdle and keeps and any(anonymous_volumes(wanted.project, service, seen) for seen in old):
        hurdle = "it has anonymous volumes"
    return not hurdle


def _impossible(service: Service) -> str:
    """Why two containers of the service cannot run at once, or ""."""
    if service.container_name:
        return "it has a container_name"
    if service.network_mode == "host":
        return "it is in the host's network"
    if service.mac_address or any(network and network.mac_address for network in service.networks.values()):
        return "it has a fixed mac_address"
    if any(network and (network.ipv4_address or network.ipv6_address) for network in service.networks.values()):
        return "it has a fixed address"
    return ""


def _alone(service: Service, old: Iterable[SeenContainer]) -> str:
    """Containers that another program made are in no group: nobody can share a port with them."""
    fixed = any(port.published for port in service.ports)
    if fixed and any(not seen.labels.get(LABEL_GROUP) for seen in old):
        return "its containers were made by another program, and hold their ports alone"
    return ""


def _exclusive(service: Service) -> str:
    """What a single container may rely on having for itself: data that it writes."""
    for mount in service.volumes:
        if not mount.read_only and mount.type in ("bind", "volume"):
            return f"it writes to {mount.source or mount.target}"
    return "it uses devices" if service.devices or service.gpus else ""
