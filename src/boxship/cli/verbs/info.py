"""boxship info: the daemon's state and abilities."""

from __future__ import annotations

from boxship import __version__
from boxship.cli.call import Call
from boxship.cli.daemon import Object
from boxship.cli.flags import Command, Flag
from boxship.spec.quantity import format_binary_bytes

COMMAND = Command(flags=(Flag("-f, --format string", "Format output: 'json' or a Go template"),))


def run(call: Call) -> int:
    info = call.daemon.get("/info")
    info["ClientInfo"] = {"Version": __version__, "Debug": call.shared.on("debug")}
    form = call.options.text("format")
    if form:
        from boxship.cli.table import unescape
        from boxship.cli.template import Template

        call.line(Template(unescape("{{json .}}" if form == "json" else form)).apply(info))
        return 0
    call.write("\n".join(info_lines(info)) + "\n")
    for warning in info.get("Warnings") or []:
        call.warn(warning)
    return 0


def info_lines(info: Object) -> list[str]:
    """The plain text, in Docker's order."""
    lines = [
        "Client:",
        f" Version:    {info['ClientInfo']['Version']}",
        f" Debug Mode: {_word(info['ClientInfo']['Debug'])}",
    ]
    lines += ["", "Server:"]
    lines += [f" Containers: {info.get('Containers')}"]
    lines += [f"  {state}: {info.get(f'Containers{state}')}" for state in ("Running", "Paused", "Stopped")]
    lines += [f" Images: {info.get('Images')}", f" Server Version: {info.get('ServerVersion')}"]
    lines += [f" Storage Driver: {info.get('Driver')}"]
    lines += [f"  {name}: {value}" for name, value in info.get("DriverStatus") or []]
    for label, field in (
        ("Logging Driver", "LoggingDriver"),
        ("Cgroup Driver", "CgroupDriver"),
        ("Cgroup Version", "CgroupVersion"),
    ):
        if info.get(field):
            lines.append(f" {label}: {info[field]}")
    plugins = info.get("Plugins") or {}
    lines.append(" Plugins:")
    lines += [f"  {kind}: {' '.join(plugins.get(kind) or [])}" for kind in ("Volume", "Network", "Log")]
    lines.append(f" Swarm: {(info.get('Swarm') or {}).get('LocalNodeState') or 'inactive'}")
    if info.get("Runtimes"):
        lines.append(f" Runtimes: {' '.join(sorted(info['Runtimes']))}")
        lines.append(f" Default Runtime: {info.get('DefaultRuntime')}")
    if info.get("InitBinary"):
        lines.append(f" Init Binary: {info['InitBinary']}")
    for label, field in (("containerd", "ContainerdCommit"), ("runc", "RuncCommit"), ("init", "InitCommit")):
        commit = (info.get(field) or {}).get("ID")
        if commit:
            lines.append(f" {label} version: {commit}")
    lines += _security(info.get("SecurityOptions") or [])
    for label, field in (
        ("Kernel Version", "KernelVersion"),
        ("Operating System", "OperatingSystem"),
        ("OSType", "OSType"),
        ("Architecture", "Architecture"),
        ("CPUs", "NCPU"),
    ):
        lines.append(f" {label}: {info.get(field)}")
    lines.append(f" Total Memory: {format_binary_bytes(info.get('MemTotal') or 0)}")
    for label, field in (("Name", "Name"), ("ID", "ID"), ("Docker Root Dir", "DockerRootDir")):
        lines.append(f" {label}: {info.get(field)}")
    lines += [f" Debug Mode: {_word(info.get('Debug'))}"]
    for label, field in (("HTTP Proxy", "HttpProxy"), ("HTTPS Proxy", "HttpsProxy"), ("No Proxy", "NoProxy")):
        if info.get(field):
            lines.append(f" {label}: {info[field]}")
    lines += [" Labels:", *(f"  {label}" for label in info["Labels"])] if info.get("Labels") else []
    lines += [f" Experimental: {_word(info.get('ExperimentalBuild'))}"]
    lines += _registries(info.get("RegistryConfig") or {})
    lines.append(f" Live Restore Enabled: {_word(info.get('LiveRestoreEnabled'))}")
    pools = info.get("DefaultAddressPools") or []
    if pools:
        lines.append(" Default Address Pools:")
        lines += [f"   Base: {pool.get('Base')}, Size: {pool.get('Size')}" for pool in pools]
    return [*lines, ""]


def _registries(config: Object) -> list[str]:
    """Which registries are spoken to without certificates, and what is asked before the default one."""
    known = config.get("IndexConfigs") or {}
    insecure = [entry["Name"] for entry in known.values() if not entry.get("Secure")]
    insecure += config.get("InsecureRegistryCIDRs") or []
    lines = [" Insecure Registries:", *(f"  {entry}" for entry in insecure)] if insecure or known else []
    mirrors = config.get("Mirrors") or []
    return lines + ([" Registry Mirrors:", *(f"  {mirror}" for mirror in mirrors)] if mirrors else [])


def _word(value: object) -> str:
    return "true" if value else "false"


def _security(options: list[str]) -> list[str]:
    """ "name=seccomp,profile=default" as a name with its settings below."""
    lines = [" Security Options:"] if options else []
    for option in options:
        for part in option.split(","):
            key, _, value = part.partition("=")
            lines.append(f"  {value or key}" if key == "name" or not value else f"   {key.capitalize()}: {value}")
    return lines
