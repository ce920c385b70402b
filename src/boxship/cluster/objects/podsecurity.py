"""The Pod Security Standards: which pods the levels privileged, baseline and restricted allow, and why not the others.

Source: kubernetes.io, "Pod Security Standards" and "Pod Security Admission"; the texts are those that its warnings
show. Pure: a pod's metadata and spec in, violations out.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from boxship.cluster.objects import Object

LEVELS = ("privileged", "baseline", "restricted")
MODES = ("enforce", "audit", "warn")
PREFIX = "pod-security.kubernetes.io/"
NEWEST = (1, 36)

BASELINE_CAPABILITIES = {
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP",
    "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
}  # fmt: skip
SAFE_SYSCTLS = {
    "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range", "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem",
}  # fmt: skip
SELINUX_TYPES = {"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
RESTRICTED_VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected", "secret",
}  # fmt: skip
APPARMOR = "container.apparmor.security.beta.kubernetes.io/"


class Policy(msgspec.Struct, frozen=True):
    """A level as a namespace's label names it; `version` is what the label says ("latest", "v1.30")."""

    level: str = "privileged"
    version: str = "latest"

    @property
    def shown(self) -> str:
        return f"{self.level}:{self.version}"

    @property
    def number(self) -> tuple[int, int]:
        if self.version == "latest":
            return NEWEST
        major, _, minor = self.version[1:].partition(".")
        return int(major), int(minor)


class Violation(msgspec.Struct, frozen=True):
    """`reason` names the rule, `detail` who breaks it."""

    reason: str
    detail: str

    @property
    def shown(self) -> str:
        return f"{self.reason} ({self.detail})" if self.detail else self.reason


class Subject(msgspec.Struct, frozen=True):
    """What every rule looks at."""

    metadata: Object
    spec: Object
    containers: tuple[Object, ...]

    @property
    def context(self) -> Object:
        return self.spec.get("securityContext") or {}

    @property
    def windows(self) -> bool:
        return (self.spec.get("os") or {}).get("name") == "windows"


Rule = Callable[[Subject], Violation | None]


def policy_of(labels: Object, mode: str) -> tuple[Policy, str]:
    """The policy of a namespace for a mode, and what is wrong with its labels ("" if nothing). A wrong level counts as
    restricted, a wrong version as latest, as in the original: never as no policy."""
    level = labels.get(f"{PREFIX}{mode}")
    version = labels.get(f"{PREFIX}{mode}-version", "latest")
    wrong = []
    if level is None:
        level = "privileged"
    elif level not in LEVELS:
        wrong.append(f'{PREFIX}{mode}: Invalid value: "{level}": must be one of {", ".join(LEVELS)}')
        level = "restricted"
    if version != "latest" and not re.fullmatch(r"v1\.(0|[1-9]\d{0,3})", version):
        wrong.append(f'{PREFIX}{mode}-version: Invalid value: "{version}": must be "latest" or "v1.x"')
        version = "latest"
    return Policy(level, version), "; ".join(wrong)


def check(policy: Policy, metadata: Object, spec: Object) -> list[Violation]:
    """All violations of the policy, in the order of the standards' own list."""
    if policy.level == "privileged":
        return []
    containers = tuple(
        container
        for part in ("initContainers", "containers", "ephemeralContainers")
        for container in spec.get(part) or ()
    )
    subject = Subject(metadata, spec, containers)
    rules: list[Rule] = list(BASELINE)
    if policy.number >= (1, 34):
        rules.append(_host_probes)
    if policy.level == "restricted":
        replaced = {_capabilities, _host_path, _seccomp}  # the stricter rule says the same and more
        rules = [rule for rule in rules if rule not in replaced] + list(RESTRICTED)
    return [found for rule in rules if (found := rule(subject)) is not None]


def summary(violations: Iterable[Violation]) -> str:
    return ", ".join(violation.shown for violation in violations)


def _named(containers: Iterable[Object]) -> str:
    names = [f'"{container.get("name", "")}"' for container in containers]
    return f"{'container' if len(names) == 1 else 'containers'} {', '.join(names)}"


def _quoted(values: Iterable[Any]) -> str:
    return ", ".join(f'"{value}"' for value in sorted(set(values)))


def _context(container: Object) -> Object:
    return container.get("securityContext") or {}


def _those(subject: Subject, wrong: Callable[[Object], object]) -> list[Object]:
    return [container for container in subject.containers if wrong(_context(container))]


def _host_namespaces(subject: Subject) -> Violation | None:
    found = [name for name in ("hostNetwork", "hostPID", "hostIPC") if subject.spec.get(name)]
    return Violation("host namespaces", ", ".join(f"{name}=true" for name in found)) if found else None


def _privileged(subject: Subject) -> Violation | None:
    found = _those(subject, lambda context: context.get("privileged"))
    return Violation("privileged", f"{_named(found)} must not set securityContext.privileged=true") if found else None


def _added(context: Object) -> set[str]:
    return set((context.get("capabilities") or {}).get("add") or ())


def _capabilities(subject: Subject) -> Violation | None:
    found = _those(subject, lambda context: _added(context) - BASELINE_CAPABILITIES)
    if not found:
        return None
    extra = _quoted(name for container in found for name in _added(_context(container)) - BASELINE_CAPABILITIES)
    detail = f"{_named(found)} must not include {extra} in securityContext.capabilities.add"
    return Violation("non-default capabilities", detail)


def _host_path(subject: Subject) -> Violation | None:
    names = [f'"{volume.get("name", "")}"' for volume in subject.spec.get("volumes") or () if volume.get("hostPath")]
    if not names:
        return None
    return Violation("hostPath volumes", f"{'volume' if len(names) == 1 else 'volumes'} {', '.join(names)}")


def _host_ports(subject: Subject) -> Violation | None:
    ports = {
        id(container): [port["hostPort"] for port in container.get("ports") or () if port.get("hostPort")]
        for container in subject.containers
    }
    found = [container for container in subject.containers if ports[id(container)]]
    if not found:
        return None
    numbers = sorted({number for each in ports.values() for number in each})
    verb = "uses" if len(found) == 1 else "use"
    word = "hostPort" if len(numbers) == 1 else "hostPorts"
    return Violation("hostPort", f"{_named(found)} {verb} {word} {', '.join(map(str, numbers))}")


def _apparmor(subject: Subject) -> Violation | None:
    wrong = [
        f'{key}="{value}"'
        for key, value in (subject.metadata.get("annotations") or {}).items()
        if key.startswith(APPARMOR) and value not in ("", "runtime/default") and not value.startswith("localhost/")
    ]
    detail = []
    if (subject.context.get("appArmorProfile") or {}).get("type") == "Unconfined":
        detail.append('pod must not set AppArmor profile type to "Unconfined"')
    found = _those(subject, lambda context: (context.get("appArmorProfile") or {}).get("type") == "Unconfined")
    if found:
        detail.append(f'{_named(found)} must not set AppArmor profile type to "Unconfined"')
    if wrong:
        word = "annotation" if len(wrong) == 1 else "annotations"
        detail.append(f"{word} {', '.join(sorted(wrong))}")
    if not detail:
        return None
    return Violation("forbidden AppArmor profile" + ("s" if len(detail) + len(wrong) > 2 else ""), ", ".join(detail))


def _selinux(subject: Subject) -> Violation | None:
    types, users, roles, who = set(), False, False, []

    def wrong(context: Object) -> bool:
        nonlocal users, roles
        options = context.get("seLinuxOptions") or {}
        bad = options.get("type", "") not in SELINUX_TYPES
        if bad:
            types.add(options["type"])
        users, roles = users or bool(options.get("user")), roles or bool(options.get("role"))
        return bad or bool(options.get("user")) or bool(options.get("role"))

    if wrong(subject.context):
        who.append("pod")
    if found := _those(subject, wrong):
        who.append(_named(found))
    if not who:
        return None
    sets = [f"type{'s' if len(types) > 1 else ''} {_quoted(types)}"] if types else []
    sets += ["user may not be set"] if users else []
    sets += ["role may not be set"] if roles else []
    return Violation(
        "seLinuxOptions", f"{' and '.join(who)} set forbidden securityContext.seLinuxOptions: {'; '.join(sets)}"
    )


def _proc_mount(subject: Subject) -> Violation | None:
    if subject.spec.get("hostUsers") is False:
        return None  # a user namespace holds what an unmasked /proc would give away
    found = _those(subject, lambda context: context.get("procMount", "Default") != "Default")
    if not found:
        return None
    kinds = _quoted(_context(container)["procMount"] for container in found)
    return Violation("procMount", f"{_named(found)} must not set securityContext.procMount to {kinds}")


def _seccomp_type(context: Object) -> str | None:
    profile: str | None = (context.get("seccompProfile") or {}).get("type")
    return profile


def _seccomp(subject: Subject) -> Violation | None:
    who = ["pod"] if _seccomp_type(subject.context) == "Unconfined" else []
    found = _those(subject, lambda context: _seccomp_type(context) == "Unconfined")
    who += [_named(found)] if found else []
    if not who:
        return None
    return Violation(
        "seccompProfile", f'{" and ".join(who)} must not set securityContext.seccompProfile.type to "Unconfined"'
    )


def _sysctls(subject: Subject) -> Violation | None:
    names = [entry.get("name", "") for entry in subject.context.get("sysctls") or ()]
    wrong = [name for name in names if name not in SAFE_SYSCTLS]
    return Violation("forbidden sysctls", ", ".join(wrong)) if wrong else None


def _host_process(subject: Subject) -> Violation | None:
    def wrong(context: Object) -> bool:
        return bool((context.get("windowsOptions") or {}).get("hostProcess"))

    who = ["pod"] if wrong(subject.context) else []
    found = _those(subject, wrong)
    who += [_named(found)] if found else []
    if not who:
        return None
    return Violation("hostProcess", f"{' and '.join(who)} must not set securityContext.windowsOptions.hostProcess=true")


def _handlers(container: Object) -> Iterator[Object]:
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        yield container.get(probe) or {}
    lifecycle = container.get("lifecycle") or {}
    yield lifecycle.get("postStart") or {}
    yield lifecycle.get("preStop") or {}


def _host_probes(subject: Subject) -> Violation | None:
    hosts: dict[str, set[str]] = {}
    for container in subject.containers:
        for handler in _handlers(container):
            for action in ("httpGet", "tcpSocket"):
                host = (handler.get(action) or {}).get("host", "")
                if host not in ("", "127.0.0.1", "::1"):
                    hosts.setdefault(container.get("name", ""), set()).add(host)
    if not hosts:
        return None
    found = [{"name": name} for name in hosts]
    verb = "uses" if len(found) == 1 else "use"
    listed = _quoted(host for each in hosts.values() for host in each)
    return Violation("probe or lifecycle host", f"{_named(found)} {verb} probe or lifecycle host {listed}")


def _volume_types(subject: Subject) -> Violation | None:
    names: list[str] = []
    kinds: set[str] = set()
    for volume in subject.spec.get("volumes") or ():
        used = [kind for kind in volume if kind != "name"]
        if any(kind not in RESTRICTED_VOLUMES for kind in used):
            names.append(f'"{volume.get("name", "")}"')
            kinds.update(kind for kind in used if kind not in RESTRICTED_VOLUMES)
    if not names:
        return None
    words = ("volume", "uses", "type") if len(names) == 1 else ("volumes", "use", "types" if len(kinds) > 1 else "type")
    detail = f"{words[0]} {', '.join(names)} {words[1]} restricted volume {words[2]} {_quoted(kinds)}"
    return Violation("restricted volume types", detail)


def _escalation(subject: Subject) -> Violation | None:
    found = _those(subject, lambda context: context.get("allowPrivilegeEscalation") is not False)
    if not found or subject.windows:
        return None
    detail = f"{_named(found)} must set securityContext.allowPrivilegeEscalation=false"
    return Violation("allowPrivilegeEscalation != false", detail)


def _dropped(context: Object) -> set[str]:
    return set((context.get("capabilities") or {}).get("drop") or ())


def _strict_capabilities(subject: Subject) -> Violation | None:
    if subject.windows:
        return None
    keeping = _those(subject, lambda context: "ALL" not in _dropped(context))
    adding = _those(subject, lambda context: _added(context) - {"NET_BIND_SERVICE"})
    detail = []
    if keeping:
        detail.append(f'{_named(keeping)} must set securityContext.capabilities.drop=["ALL"]')
    if adding:
        extra = _quoted(name for container in adding for name in _added(_context(container)) - {"NET_BIND_SERVICE"})
        detail.append(f"{_named(adding)} must not include {extra} in securityContext.capabilities.add")
    return Violation("unrestricted capabilities", "; ".join(detail)) if detail else None


def _non_root(subject: Subject) -> Violation | None:
    if subject.spec.get("hostUsers") is False:
        return None
    explicit = _those(subject, lambda context: context.get("runAsNonRoot") is False)
    pod = subject.context.get("runAsNonRoot")
    who = []
    if explicit:
        who.append(f"{_named(explicit)} must not set securityContext.runAsNonRoot=false")
    if pod is False:
        who.append("pod must not set securityContext.runAsNonRoot=false")
    if who:
        return Violation("runAsNonRoot != true", " and ".join(reversed(who)))
    unset = [] if pod else _those(subject, lambda context: context.get("runAsNonRoot") is None)
    if not unset:
        return None
    return Violation("runAsNonRoot != true", f"pod or {_named(unset)} must set securityContext.runAsNonRoot=true")


def _root_user(subject: Subject) -> Violation | None:
    if subject.spec.get("hostUsers") is False:
        return None
    who = ["pod"] if subject.context.get("runAsUser") == 0 else []
    found = _those(subject, lambda context: context.get("runAsUser") == 0)
    who += [_named(found)] if found else []
    return Violation("runAsUser=0", f"{' and '.join(who)} must not set runAsUser=0") if who else None


def _strict_seccomp(subject: Subject) -> Violation | None:
    if subject.windows:
        return None
    allowed = ("RuntimeDefault", "Localhost")
    pod = _seccomp_type(subject.context)
    bad = _those(subject, lambda context: _seccomp_type(context) not in (None, *allowed))
    who = ["pod"] if pod is not None and pod not in allowed else []
    who += [_named(bad)] if bad else []
    if who:
        kinds = _quoted(
            kind
            for kind in (pod, *(_seccomp_type(_context(container)) for container in bad))
            if kind is not None and kind not in allowed
        )
        return Violation(
            "seccompProfile", f"{' and '.join(who)} must not set securityContext.seccompProfile.type to {kinds}"
        )
    unset = [] if pod in allowed else _those(subject, lambda context: _seccomp_type(context) is None)
    if not unset:
        return None
    detail = f'pod or {_named(unset)} must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
    return Violation("seccompProfile", detail)


BASELINE: tuple[Rule, ...] = (
    _host_namespaces, _privileged, _capabilities, _host_path, _host_ports, _apparmor, _selinux, _proc_mount, _seccomp,
    _sysctls, _host_process,
)  # fmt: skip
RESTRICTED: tuple[Rule, ...] = (
    _escalation, _strict_capabilities, _volume_types, _non_root, _root_user, _strict_seccomp,
)  # fmt: skip
