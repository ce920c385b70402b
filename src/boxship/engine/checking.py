"""What is refused before a container is made: contradictions and values that only the engine can judge. Pure."""

from collections.abc import Collection

from boxship.engine import groups
from boxship.engine.placing import is_shared
from boxship.errors import Invalid, NotFound, Unsupported
from boxship.logs.options import parse_options
from boxship.spec import platform as platforms
from boxship.spec.container import ContainerSpec, RestartPolicy
from boxship.spec.image import Platform
from boxship.spec.signals import signal_number

RESTART_NAMES = ("no", "always", "unless-stopped", "on-failure")


def check_restart(policy: RestartPolicy) -> None:
    """Raises Invalid with Docker's texts for an unknown policy or a wrong count."""
    if policy.name not in RESTART_NAMES:
        raise Invalid(f"invalid restart policy: unknown policy '{policy.name}'; use one of {', '.join(RESTART_NAMES)}")
    if policy.maximum_retries < 0:
        raise Invalid("invalid restart policy: maximum retry count cannot be negative")
    if policy.maximum_retries and policy.name != "on-failure":
        raise Invalid("invalid restart policy: maximum retry count can only be used with 'on-failure'")


def check_spec(spec: ContainerSpec, runtimes: Collection[str]) -> None:
    """Raises Invalid or Unsupported for what cannot be made into a container, before anything is made."""
    if not spec.image:
        raise Invalid("no image specified")
    check_restart(spec.restart)
    if spec.auto_remove and spec.restart.name != "no":
        raise Invalid("can't set 'AutoRemove' and 'RestartPolicy' at the same time")
    if spec.runtime and spec.runtime not in runtimes:
        raise Invalid(f"unknown or invalid runtime name: {spec.runtime}")
    if spec.stop_timeout is not None and spec.stop_timeout < -1:
        raise Invalid(f"invalid stop timeout: {spec.stop_timeout} seconds; -1 waits without end")
    if spec.working_directory and not spec.working_directory.startswith("/"):
        raise Invalid(f"the working directory '{spec.working_directory}' is invalid, it needs to be an absolute path")
    if spec.storage_options:
        raise Unsupported("unsupported: HostConfig.StorageOpt")
    if spec.stop_signal:
        signal_number(spec.stop_signal)
    parse_options(spec.log.driver, spec.log.options)
    if spec.log_path and not spec.log_path.startswith("/"):
        raise Invalid(f"invalid log path: {spec.log_path} is not absolute")
    _check_namespaces(spec)
    _check_health(spec)
    groups.check(spec)


def ignored(spec: ContainerSpec) -> tuple[str, ...]:
    """Warnings of what is given and has no effect, in Docker's words."""
    if spec.network_mode == "host" and (spec.ports or spec.publish_all):
        return ("Published ports are discarded when using host network mode",)
    return ()


def check_platform(wanted: str, image: str, offered: Platform) -> None:
    """Raises NotFound for an image of another platform than the wanted one: the client may pull the right one."""
    if wanted and not platforms.matches(platforms.parse(wanted), offered):
        raise NotFound(
            f"image with reference {image} was found but its platform ({platforms.describe(offered)}) "
            f"does not match the specified platform ({wanted})"
        )


def _check_namespaces(spec: ContainerSpec) -> None:
    if spec.userns_mode not in ("", "host"):
        raise Unsupported(f"unsupported: HostConfig.UsernsMode {spec.userns_mode}")
    if spec.uts_mode not in ("", "private", "host"):
        raise Invalid(f"invalid UTS mode: {spec.uts_mode}")
    if spec.cgroupns_mode not in ("", "private", "host"):
        raise Invalid(f"invalid cgroup namespace mode: {spec.cgroupns_mode}")
    if spec.ipc_mode not in ("", "none", "private", "shareable", "host") and not is_shared(spec.ipc_mode):
        raise Invalid(f"invalid IPC mode: {spec.ipc_mode}")
    if spec.pid_mode not in ("", "private", "host") and not is_shared(spec.pid_mode):
        raise Invalid(f"invalid PID mode: {spec.pid_mode}")
    if spec.uts_mode == "host" and (spec.hostname or spec.domainname):
        raise Invalid("conflicting options: hostname and the UTS mode")
    if spec.network_mode.startswith("container:"):
        named = {
            "hostname and the network mode": spec.hostname,
            "dns and the network mode": spec.dns or spec.dns_options or spec.dns_search,
            "port publishing and the container type network mode": spec.ports or spec.publish_all,
            "custom host-to-IP mapping and the network mode": spec.extra_hosts,
            "mac-address and the network mode": spec.mac_address or any(join.mac_address for join in spec.endpoints),
        }
        for text, given in named.items():
            if given:
                raise Invalid(f"conflicting options: {text}")
    for join in spec.endpoints:
        if join.network in ("none", "host") and join.ipv4_address:
            raise Invalid("user specified IP address is supported on user defined networks only")
        if join.network in ("none", "host") and join.aliases:
            raise Invalid("network-scoped alias is supported only for containers in user defined networks")
    if spec.links and (spec.network_mode in ("", "default", "bridge", "none", "host") or ":" in spec.network_mode):
        raise Unsupported("unsupported: HostConfig.Links; put both containers on one user-defined network")
    if spec.privileged and spec.userns_mode == "private":
        raise Invalid("privileged mode is incompatible with user namespaces")


def _check_health(spec: ContainerSpec) -> None:
    check = spec.health
    if check is None:
        return
    if check.test and check.test[0] not in ("CMD", "CMD-SHELL", "NONE", ""):
        raise Invalid(f'unknown type "{check.test[0]}" in the health check; use CMD, CMD-SHELL or NONE')
    durations = {
        "Interval": check.interval,
        "Timeout": check.timeout,
        "StartPeriod": check.start_period,
        "StartInterval": check.start_interval,
    }
    for name, value in durations.items():
        if value != 0 and value < 1_000_000:
            raise Invalid(f"{name} in Healthcheck cannot be less than 1ms")
    if check.retries < 0:
        raise Invalid("Retries in Healthcheck cannot be negative")
