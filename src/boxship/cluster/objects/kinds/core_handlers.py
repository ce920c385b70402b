"""Probes and hooks: what asks a container how it is, and what is done when it starts or ends.

Source: "Configure Liveness, Readiness and Startup Probes", "Container Lifecycle Hooks"; API reference Probe,
LifecycleHandler.
"""

from collections.abc import Mapping
from typing import Any

from boxship.cluster.objects import names
from boxship.cluster.objects.kinds.checking import Found, non_negative
from boxship.cluster.objects.kinds.core_addresses import validate_port

PROBE_KINDS = ("exec", "httpGet", "tcpSocket", "grpc")
HOOK_KINDS = ("exec", "httpGet", "tcpSocket", "sleep")
SCHEMES = ("HTTP", "HTTPS")
WINDOWS_SIGNALS = ("SIGKILL", "SIGTERM")
LINUX_SIGNALS = tuple(
    sorted(
        f"SIG{name}"
        for name in (
            *"ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV STKFLT STOP".split(),
            *"SYS TERM TRAP TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ RTMIN RTMAX".split(),
            *(f"RTMIN+{number}" for number in range(1, 16)),
            *(f"RTMAX-{number}" for number in range(1, 15)),
        )
    )
)
NUMBERS = ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold")


def validate_probe(found: Found, probe: Mapping[str, Any], kind: str, grace: int | None, path: str) -> None:
    """`kind` is the field that the probe stands in."""
    _validate_handler(found, probe, PROBE_KINDS, grace, path)
    non_negative(found, probe, path, *NUMBERS)
    limit = probe.get("terminationGracePeriodSeconds")
    if limit is not None and limit <= 0:
        found.invalid(f"{path}.terminationGracePeriodSeconds", limit, "must be greater than 0")
    if kind == "readinessProbe":
        if limit is not None:
            found.invalid(f"{path}.terminationGracePeriodSeconds", limit, "must not be set for readinessProbes")
    elif probe.get("successThreshold") != 1:
        found.invalid(f"{path}.successThreshold", probe.get("successThreshold") or 0, "must be 1")


def validate_lifecycle(found: Found, lifecycle: Mapping[str, Any], grace: int | None, system: str, path: str) -> None:
    signal = lifecycle.get("stopSignal")
    if signal is not None:
        if not system:
            found.forbidden(f"{path}.stopSignal", "may not be set for containers with empty `spec.os.name`")
        else:
            known = WINDOWS_SIGNALS if system == "windows" else LINUX_SIGNALS
            if signal not in known:
                found.unsupported(f"{path}.stopSignal", signal, known)
    for key in ("postStart", "preStop"):
        if lifecycle.get(key) is not None:
            _validate_handler(found, lifecycle[key], HOOK_KINDS, grace, f"{path}.{key}")


def _validate_handler(
    found: Found, handler: Mapping[str, Any], kinds: tuple[str, ...], grace: int | None, path: str
) -> None:
    seen = False
    for kind in kinds:
        action = handler.get(kind)
        if action is None:
            continue
        at = f"{path}.{kind}"
        if seen:
            found.forbidden(at, "may not specify more than 1 handler type")
            continue
        seen = True
        if kind == "exec":
            if not action.get("command"):
                found.required(f"{at}.command")
        elif kind == "httpGet":
            _validate_http(found, action, at)
        elif kind == "sleep":
            seconds = action.get("seconds") or 0
            if grace is not None and not 0 <= seconds <= grace:
                why = f"must be non-negative and less than terminationGracePeriodSeconds ({grace})"
                found.invalid(at, seconds, why)
        else:
            validate_port(found, action.get("port"), f"{at}.port")
    if not seen:
        found.required(path, "must specify a handler type")


def _validate_http(found: Found, action: Mapping[str, Any], path: str) -> None:
    if not action.get("path"):
        found.required(f"{path}.path")
    validate_port(found, action.get("port"), f"{path}.port")
    if action.get("scheme") not in SCHEMES:
        found.unsupported(f"{path}.scheme", action.get("scheme") or "", SCHEMES)
    for header in action.get("httpHeaders") or ():
        name = header.get("name") or ""
        found.because(f"{path}.httpHeaders", name, names.header_name(name))
