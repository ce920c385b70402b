"""What `why` says: a container's state and how it came to be so, in sentences. Pure: from the daemon's JSON to text."""

from __future__ import annotations

from boxship.cli.daemon import Object
from boxship.cli.text import host_port, short_id, visible
from boxship.cli.times import is_missing, parse_time
from boxship.spec.duration import SECOND, format_duration, rough_duration
from boxship.spec.quantity import format_binary_bytes

SIGNAL_BASE = 128  # exit codes above it name the signal that ended the process
SIGNALS = {1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 4: "SIGILL", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE", 9: "SIGKILL"}
SIGNALS |= {11: "SIGSEGV", 13: "SIGPIPE", 14: "SIGALRM", 15: "SIGTERM"}
POLICIES = {
    "": "It is not restarted when it ends.",
    "no": "It is not restarted when it ends.",
    "always": "It is restarted whenever it ends, until it is stopped by hand, and when the daemon starts.",
    "unless-stopped": "It is restarted whenever it ends, unless it was stopped by hand.",
}


def explain(container: Object, now: int) -> list[str]:
    """The sentences. `now` is nanoseconds since the epoch."""
    return [
        *_state(container, now),
        *_ending(container),
        *_restarts(container),
        *_health(container, now),
        *_group(container),
        *_limits(container),
        *_networks(container),
        *_mounts(container),
    ]


def _ago(text: str, now: int) -> str:
    return rough_duration(max(now - parse_time(text), 0)).lower()


def _state(container: Object, now: int) -> list[str]:
    state, config = container["State"], container.get("Config") or {}
    name = visible(container["Name"].removeprefix("/"))
    command = visible(" ".join([container.get("Path") or "", *(container.get("Args") or [])]))
    lines = [
        f"{name} ({short_id(container['Id'])}) was made {_ago(container['Created'], now)} ago "
        f"from {visible(config.get('Image') or 'an image')} to run: {command}"
    ]
    status = state.get("Status") or ""
    started, finished = state.get("StartedAt") or "", state.get("FinishedAt") or ""
    if status == "running":
        lines.append(f"It has been running for {_ago(started, now)}, as process {state.get('Pid')} of this machine.")
    elif status == "paused":
        lines.append(f"It is paused: its processes are held, since it was started {_ago(started, now)} ago.")
    elif status == "restarting":
        lines.append(f"It ended {_ago(finished, now)} ago, and waits to be restarted.")
    elif status == "created" and is_missing(started):
        lines.append("It has never been started.")
    elif status == "removing":
        lines.append("It is being removed.")
    elif status == "dead":
        lines.append("It is dead: removing it failed half way. Removing it again tries once more.")
    elif is_missing(finished):
        lines.append(f"It is {status}.")
    else:
        ran = parse_time(finished) - parse_time(started) if not is_missing(started) else 0
        after = f" after {format_duration(ran // 1_000_000 * 1_000_000)}" if ran > 0 else ""
        lines.append(f"It ended {_ago(finished, now)} ago{after}.")
    return lines


def _ending(container: Object) -> list[str]:
    state = container["State"]
    lines = []
    if state.get("Status") in ("exited", "restarting", "dead") or (
        state.get("Status") == "created" and state.get("Error")
    ):
        lines.append(_exit_sentence(int(state.get("ExitCode") or 0)))
    if state.get("OOMKilled"):
        limit = (container.get("HostConfig") or {}).get("Memory") or 0
        why = (
            f"its limit of {format_binary_bytes(limit)}"
            if limit
            else "the machine's memory, as it has no limit of its own"
        )
        lines.append(f"The kernel killed a process in it for want of memory: it reached {why}.")
    if state.get("Error"):
        lines.append(f"The daemon reported: {visible(state['Error'])}")
    return lines


def _exit_sentence(code: int) -> str:
    if code == 0:
        return "Its exit code was 0: it ended as it should."
    if code == 125:
        return "Its exit code was 125: it could not be started."
    if code == 126:
        return "Its exit code was 126: the command was found, but could not be run."
    if code == 127:
        return "Its exit code was 127: the command was not found in the image."
    if SIGNAL_BASE < code <= SIGNAL_BASE + 64:
        number = code - SIGNAL_BASE
        return f"Its exit code was {code}: it was ended by {SIGNALS.get(number, f'signal {number}')}."
    return f"Its exit code was {code}, which the program chose itself: its logs may say why."


def _restarts(container: Object) -> list[str]:
    policy = (container.get("HostConfig") or {}).get("RestartPolicy") or {}
    name, most = policy.get("Name") or "", policy.get("MaximumRetryCount") or 0
    count = container.get("RestartCount") or 0
    if name == "on-failure":
        text = f"It is restarted when it fails{f', at most {most} times' if most else ''}."
    else:
        text = POLICIES.get(name, f"Its restart policy is {name}.")
    if count:
        text += f" That has happened {count} time{'' if count == 1 else 's'}."
    if name == "on-failure" and most and count >= most and container["State"].get("Status") == "exited":
        text += " No more tries are left."
    return [text]


def _health(container: Object, now: int) -> list[str]:
    health = container["State"].get("Health") or {}
    status = health.get("Status") or "none"
    if status == "none":
        return []
    lines = [f"Its health check says: {status}."]
    streak = health.get("FailingStreak") or 0
    if streak:
        lines[0] = f"Its health check says: {status}, after {streak} failure{'' if streak == 1 else 's'} in a row."
    probes = health.get("Log") or []
    if probes:
        last = probes[-1]
        output = visible(last.get("Output") or "").strip()
        said = f", and said: {output[:200]}" if output else ""
        lines.append(f"The last check, {_ago(last['End'], now)} ago, exited with {last.get('ExitCode')}{said}")
    return lines


def _group(container: Object) -> list[str]:
    """How a member of a service group stands in it."""
    group = (container.get("Boxship") or {}).get("Group")
    if not group:
        return []
    ready = "ready" if group["Ready"] else f"not ready: {visible(group['NotReady'])}"
    lines = [f"It belongs to the group {visible(group['Name'])} and is {ready}."]
    lines.append(f"Ready members of the group: {group['ReadyMembers']} of {group['Members']} that run.")
    for network, address in sorted((group.get("VirtualAddresses") or {}).items()):
        name = visible(group["VirtualAddress"])
        lines.append(f"In the network {visible(network)}, {name} is the group's address {address}.")
    if group["Drained"]:
        lines.append(f"Before its last stop it left its group, and {visible(group['Drained'])}.")
    return lines


def _limits(container: Object) -> list[str]:
    host = container.get("HostConfig") or {}
    words = []
    if host.get("Memory"):
        words.append(f"{format_binary_bytes(host['Memory'])} of memory")
    if host.get("NanoCpus"):
        words.append(f"{host['NanoCpus'] / 1e9:g} processors")
    if (host.get("PidsLimit") or 0) > 0:
        words.append(f"{host['PidsLimit']} processes")
    return [f"It may use at most {_list(words)}."] if words else []


def _list(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _networks(container: Object) -> list[str]:
    mode = (container.get("HostConfig") or {}).get("NetworkMode") or ""
    settings = container.get("NetworkSettings") or {}
    if mode == "host":
        return ["It uses the network of this machine directly."]
    if mode == "none":
        return ["It has no network."]
    if mode.startswith("container:"):
        return [f"It shares the network of the container {short_id(mode.partition(':')[2])}."]
    lines = []
    for name, endpoint in sorted((settings.get("Networks") or {}).items()):
        address = endpoint.get("IPAddress") or ""
        lines.append(
            f"In the network {name} it has the address {address}." if address else f"It belongs to the network {name}."
        )
    for port, bindings in sorted((settings.get("Ports") or {}).items()):
        for binding in bindings or []:
            lines.append(f"Its port {port} is published at {host_port(binding['HostIp'], binding['HostPort'])}.")
    return lines


def _mounts(container: Object) -> list[str]:
    lines = []
    for mount in container.get("Mounts") or []:
        kind, target = mount.get("Type") or "", mount.get("Destination") or ""
        how = "" if mount.get("RW", True) else ", read-only"
        if kind == "bind":
            lines.append(f"{target} is the host's {mount.get('Source')}{how}.")
        elif kind == "volume":
            lines.append(f"{target} is the volume {mount.get('Name')}{how}.")
        else:
            lines.append(f"{target} is a {kind}{how}.")
    for target in sorted((container.get("HostConfig") or {}).get("Tmpfs") or {}):
        lines.append(f"{target} is a tmpfs.")
    return [visible(line) for line in lines]


def now_nanoseconds() -> int:
    import time

    return int(time.time() * SECOND)
