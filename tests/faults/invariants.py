"""What must hold after any crash and restart, seen from outside: /proc, cgroups, links, packet rules, mounts, files.

`check` compares the machine with what the API says of one instance; `check_empty` proves that nothing is left of it.
Some parts are cleared in the background, so both look again until all is well or a deadline passes.
"""

import contextlib
import ipaddress
import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

from faults_client import Client
from faults_instance import Instance, alive

from boxship.network.networks import veth_prefix
from daemons import processes_naming

SETTLE_SECONDS = 25.0
POOL = 4  # network namespaces that the daemon keeps ready (network.model.Settings)
TRANSIENT = ("content/ingest", "builder/views", "builder/contexts")  # hold nothing when nothing goes on
STANDING = (".trash", "merged")  # folders that are always there
OTHERS = ("other: lock", "other: instance")
LIVING = ("running", "paused")


class Seen:
    """One look at what the API says."""

    def __init__(self, client: Client) -> None:
        listed = client.get("/containers/json", all=1)
        self.containers = {row["Id"]: client.inspect(row["Id"]) for row in listed}
        self.running = {key: box for key, box in self.containers.items() if box["State"]["Status"] in LIVING}
        self.volumes = {row["Name"] for row in client.get("/volumes")["Volumes"] or ()}
        self.networks = {row["Id"]: row for row in client.get("/networks")}
        self.usage = client.get("/system/df")
        parts = client.get("/boxship/system/usage")["Parts"]
        owners = {part["Name"] for part in parts if part["Name"].startswith(("blobs: ", "layers: "))}
        self.shares_blobs = bool(owners - {"blobs: images", "layers: images"})

    def busy(self) -> list[str]:
        """Containers that are on their way: nothing can be said of them yet."""
        states = {box["Name"]: box["State"]["Status"] for box in self.containers.values()}
        return [f"{name} is {state}" for name, state in states.items() if state in ("restarting", "removing")]


def check(box: Instance, seconds: float = SETTLE_SECONDS) -> None:
    """Raise AssertionError naming everything that is not as it should be."""
    deadline = time.monotonic() + seconds
    while True:
        seen = Seen(box.client)
        problems = seen.busy() or problems_of(box, seen)
        if not problems:
            return
        if time.monotonic() > deadline:
            tasks = box.tasks() if seen.busy() else ""  # it may hang: where?
            raise AssertionError("\n".join([*problems, tasks, "the daemon's log:", box.log_end()]))
        time.sleep(0.02)


def problems_of(box: Instance, seen: Seen) -> list[str]:
    """Every difference between the API and the machine."""
    found = []
    parts = (_processes, _monitors, _cgroups, _frozen, _interfaces, _rules, _mounts, _folders, _addresses, _usage)
    for part in (*parts, _explained):
        found += [f"{part.__name__.strip('_')}: {problem}" for problem in part(box, seen)]
    return found or [f"store: {problem}" for problem in _store(box)]


def _processes(box: Instance, seen: Seen) -> list[str]:
    """A running container's process lives, in its own cgroup; others have none."""
    problems = []
    for key, container in seen.containers.items():
        pid = container["State"]["Pid"]
        if key not in seen.running:
            problems += [f"{key[:12]} is {container['State']['Status']} with pid {pid}"] if pid else []
        elif not alive(pid):
            problems.append(f"{key[:12]} runs, its process {pid} does not")
        elif f"boxship-{box.name}/{key}" not in Path(f"/proc/{pid}/cgroup").read_text():
            problems.append(f"process {pid} of {key[:12]} is not in its cgroup")
    return problems


def monitors(box: Instance) -> list[tuple[int, str, str]]:
    """(pid, container, exec or "") of every conmon of the instance."""
    found = []
    bundles = f"{box.run}/bundles/"
    for pid in processes_naming(bundles):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
        except OSError:
            continue
        bundle = next((word for word in words if word.startswith(f"--bundle={bundles}")), "")
        if words[0].rpartition("/")[2] == "conmon" and bundle and alive(pid):
            container, _, rest = bundle.removeprefix(f"--bundle={bundles}").partition("/execs/")
            found.append((pid, container, rest))
    return found


def _monitors(box: Instance, seen: Seen) -> list[str]:
    """One conmon for each running container, one for each running exec, and no other."""
    living = monitors(box)
    holders = sorted(container for _, container, run in living if not run)
    problems = []
    if holders != sorted(seen.running):
        problems.append(f"conmons of {[key[:12] for key in holders]}, running {[key[:12] for key in seen.running]}")
    for pid, container, run in living:
        if run and run not in (seen.containers.get(container, {}).get("ExecIDs") or ()) and not _is_probe(box, run):
            problems.append(f"conmon {pid} of exec {run[:12]} in {container[:12]}, which the container does not know")
    return problems


def _is_probe(box: Instance, run: str) -> bool:
    """A health check's probe has a short id and no record."""
    return len(run) == 32


def _cgroups(box: Instance, seen: Seen) -> list[str]:
    """No cgroup of the instance without a running container."""
    problems = []
    for folder in _cgroup_folders(box.name):
        strange = {path.name for path in folder.iterdir() if path.is_dir()} - set(seen.running)
        problems += [f"{folder}/{name} belongs to nobody" for name in strange]
    return problems


def _cgroup_folders(name: str) -> list[Path]:
    found = []
    for folder in (Path("/sys/fs/cgroup"), *Path("/sys/fs/cgroup").iterdir()):
        with contextlib.suppress(OSError):  # other tests' cgroups come and go
            found += [path for path in folder.iterdir() if path.name == f"boxship-{name}"]
    return found


def _frozen(box: Instance, seen: Seen) -> list[str]:
    """Paused containers are frozen, and no others."""
    problems = []
    for key, container in seen.running.items():
        for folder in _cgroup_folders(box.name):
            version1, version2 = folder / key / "freezer.state", folder / key / "cgroup.freeze"
            for path in (version1, version2):
                if path.exists():
                    frozen = path.read_text().strip() in ("FROZEN", "FREEZING", "1")
                    if frozen != (container["State"]["Status"] == "paused"):
                        problems.append(f"{key[:12]} is {container['State']['Status']}, {path} says {frozen}")
    return problems


def links() -> list[dict[str, Any]]:
    """The machine's interfaces."""
    done = subprocess.run(["ip", "-j", "-d", "link"], capture_output=True, check=True, timeout=20)
    return list(json.loads(done.stdout))


def _endpoints(container: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found = container["NetworkSettings"]["Networks"] or {}
    return {name: point for name, point in found.items() if point.get("IPAddress")}


def _interfaces(box: Instance, seen: Seen) -> list[str]:
    """As many host ends as running containers have addresses; each address is inside its container; bridges as told."""
    prefix, alias = veth_prefix(box.name), f"boxship:{box.name}:"
    there = links()
    wanted = sum(len(_endpoints(container)) for container in seen.running.values())
    ends = [link["ifname"] for link in there if link["ifname"].startswith(prefix)]
    problems = [] if len(ends) == wanted else [f"{len(ends)} host ends for {wanted} endpoints: {ends}"]
    bridges = {str(link["ifalias"])[len(alias) :] for link in there if str(link.get("ifalias", "")).startswith(alias)}
    expected = {key for key, network in seen.networks.items() if network["Driver"] == "bridge"}
    if bridges != expected:
        problems.append(f"bridges {sorted(bridges)}, networks {sorted(expected)}")
    for key, container in seen.running.items():
        inside = Path(f"/proc/{container['State']['Pid']}/net/fib_trie")
        text = inside.read_text() if _endpoints(container) and inside.exists() else ""
        for name, point in _endpoints(container).items():
            if f"|-- {point['IPAddress']}\n" not in text:
                problems.append(f"{key[:12]} has no address {point['IPAddress']} of network {name}")
    return problems


PUBLISHED = ("published", "published_at", "balanced", "balanced_at")


def rule_table(name: str) -> list[dict[str, Any]] | None:
    """The instance's nft table, None where there is none."""
    command = ["nft", "-j", "list", "table", "ip", f"boxship_{name}"]
    done = subprocess.run(command, capture_output=True, timeout=20, check=False)
    return list(json.loads(done.stdout)["nftables"]) if done.returncode == 0 else None


def _rules(box: Instance, seen: Seen) -> list[str]:
    """Exactly the published ports of running containers are in the maps."""
    table = rule_table(box.name)
    if table is None:
        return ["there is no nft table"]
    balanced = _balanced(table)
    present = set()
    for item in table:
        described = item.get("map")
        if described and described["name"] in PUBLISHED:
            for key, value in described.get("elem", ()):
                words = [str(word) for word in key["concat"]]
                words = words if len(words) == 3 else ["0.0.0.0", *words]
                targets = [value] if "concat" in value else balanced[value["goto"]["target"]]
                for target in targets:
                    address, inside = (str(word) for word in target["concat"])
                    present.add((words[0], words[1], words[2], inside, address))
    wanted = set()
    for container in seen.running.values():
        paused = container["State"]["Paused"] and any(label == "boxship.group" for label in _labels(container))
        networks = container["NetworkSettings"]["Networks"].values()
        for name, bindings in (container["NetworkSettings"]["Ports"] or {}).items():
            inside, _, protocol = name.partition("/")
            for row in bindings or () if not paused else ():
                places = (row["HostIp"], protocol, row["HostPort"], inside)
                found = {(*places, point["IPAddress"]) for point in networks} & present  # one of its networks leads out
                wanted |= found or {(*places, "one of its addresses")}
    problems = [] if present == wanted else [f"published: rules {sorted(present)}, containers {sorted(wanted)}"]
    return problems + _virtual(table, balanced, seen)


def _labels(container: dict[str, Any]) -> dict[str, str]:
    return container["Config"]["Labels"] or {}


def _balanced(table: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """Where the chains of service groups lead."""
    rules = (item["rule"] for item in table if "rule" in item)
    ends = ((rule["chain"], rule["expr"][-1]) for rule in rules)
    spread = ((chain, end["dnat"]["addr"]) for chain, end in ends if "dnat" in end)
    return {
        chain: [target for _, target in addr["map"]["data"]["set"]]
        for chain, addr in spread
        if "map" in addr and "numgen" in addr["map"]["key"]
    }


def _virtual(table: list[dict[str, Any]], balanced: dict[str, list[Any]], seen: Seen) -> list[str]:
    """Virtual addresses lead to their running members, and exist only where a member does."""
    present = {chain.removeprefix("virtual_"): set(to) for chain, to in balanced.items() if chain.startswith("virtual")}
    wanted: dict[str, set[str]] = {}
    known = set()
    for container in seen.containers.values():
        group = (container.get("Boxship") or {}).get("Group") or {}
        for network, address in (group.get("VirtualAddresses") or {}).items():
            known.add(address)
            if container["State"]["Running"] and not container["State"]["Paused"]:
                own = container["NetworkSettings"]["Networks"][network]["IPAddress"]
                wanted.setdefault(address, set()).add(own)
    problems = [] if present == wanted else [f"virtual addresses: rules {present}, containers {wanted}"]
    sets = [item["set"] for item in table if item.get("set", {}).get("name") == "virtual_addresses"]
    refused = {str(address) for found in sets for address in found.get("elem", ())}
    return problems if refused == known else [*problems, f"virtual addresses: set {refused}, containers {known}"]


def _mounts(box: Instance, seen: Seen) -> list[str]:
    """In the daemon's namespace: one overlay for each running container, namespaces of containers and of the pool."""
    overlays, namespaces = [], set()
    for line in Path(f"/proc/{box.pid}/mountinfo").read_text().splitlines():
        words = line.split()
        target = words[4]
        if target.startswith(f"{box.data_root}/snapshots/"):
            overlays.append(target.split("/")[-2])
        elif target.startswith(f"{box.run}/netns/"):
            namespaces.add(target)
        elif target.startswith(f"{box.data_root}/volumes/.pins"):
            return [f"a pin {target}"]
    problems = []
    if sorted(overlays) != sorted(seen.running):
        problems.append(f"overlays of {sorted(overlays)}, running {sorted(seen.running)}")
    own = {container["NetworkSettings"]["SandboxKey"] for container in seen.running.values()} - {""}
    own = {path for path in own if path.startswith(str(box.run))}
    if not own <= namespaces or len(namespaces - own) > POOL:
        problems.append(f"namespaces {sorted(namespaces)}, of containers {sorted(own)}")
    files = {str(path) for path in (box.run / "netns").iterdir()}
    if files - namespaces:
        problems.append(f"namespace files without a mount: {sorted(files - namespaces)}")
    return problems


def _folders(box: Instance, seen: Seen) -> list[str]:
    """The folders under the roots are those of the records."""
    problems = []
    expected: tuple[tuple[Path, set[str]], ...] = (
        (box.data / "containers", set(seen.containers)),
        (box.data / "snapshots" / "active", set(seen.containers)),
        (box.data / "snapshots" / "staging", set()),
        (box.data / "snapshots" / "trash", set()),
        (box.data / "content" / "ingest", set()),
        (box.data / "volumes", seen.volumes | {".pins", ".trash"}),
        (box.data / "volumes" / ".trash", set()),
        (box.data / "volumes" / ".pins", set()),
        (box.run / "bundles", set(seen.running)),
    )
    states = {path.name for path in (box.run / "runtimes").glob("*/*")}
    if states != set(seen.running):
        problems.append(f"states of runtimes: {sorted(states)}, running {sorted(seen.running)}")
    for folder, names in expected:
        there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
        if there != names:
            problems.append(f"{folder}: too much {sorted(there - names)}, missing {sorted(names - there)}")
    for key, container in seen.running.items():
        execs = box.run / "bundles" / key / "execs"
        known = set(container.get("ExecIDs") or ())
        there = {path.name for path in execs.iterdir() if not _is_probe(box, path.name)} if execs.is_dir() else set()
        if there - known:
            problems.append(f"folders of execs that do not run in {key[:12]}: {sorted(there - known)}")
    for name in seen.volumes:
        if not (box.data / "volumes" / name / "_data").is_dir():
            problems.append(f"volume {name} has no data folder")
    users = {point.get("Name") for container in seen.containers.values() for point in container["Mounts"]}
    for row in seen.usage["Volumes"] or ():
        if "com.docker.volume.anonymous" in (row["Labels"] or {}) and row["Name"] not in users:
            problems.append(f"anonymous volume {row['Name']} belongs to no container")
    return problems


def _addresses(box: Instance, seen: Seen) -> list[str]:
    """No address twice, each within its network."""
    problems = []
    taken: dict[tuple[str, str], str] = {}
    for key, container in seen.running.items():
        for point in _endpoints(container).values():
            network = seen.networks.get(point["NetworkID"])
            if network is None:
                problems.append(f"{key[:12]} is on network {point['NetworkID']}, which does not exist")
                continue
            place = (point["NetworkID"], point["IPAddress"])
            if place in taken:
                problems.append(f"{place[1]} belongs to {key[:12]} and {taken[place][:12]}")
            taken[place] = key
            subnet = ipaddress.ip_network(network["IPAM"]["Config"][0]["Subnet"])
            if ipaddress.ip_address(place[1]) not in subnet:
                problems.append(f"{place[1]} of {key[:12]} is not in {subnet}")
    return problems


def disk_usage(*folders: Path) -> int:
    """Bytes on the disk, as du(1) counts them."""
    if not folders:
        return 0
    command = ["du", "-scx", "--block-size=1", "--", *map(str, folders)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return int(done.stdout.splitlines()[-1].split()[0])


def _usage(box: Instance, seen: Seen) -> list[str]:
    """df says what du says.

    Both count blocks, so they agree to the byte. df counts the layers with their records, the blobs, what containers
    changed and the volumes' data; not the few folders that hold these together.
    """
    problems = []
    counted = sorted((box.data / "snapshots" / "layers").iterdir())
    counted += sorted((box.data / "content" / "blobs" / "sha256").iterdir())
    pairs = []
    if not seen.usage.get("BuildCache") and not seen.shares_blobs:
        pairs.append(("layers and blobs", seen.usage["LayersSize"], disk_usage(*counted)))
    for row in seen.usage["Containers"] or ():
        if row["Id"] not in seen.running:
            upper = box.data / "snapshots" / "active" / row["Id"] / "upper"
            pairs.append((row["Id"][:12], row.get("SizeRw") or 0, disk_usage(upper)))
    for row in seen.usage["Volumes"] or ():
        data = box.data / "volumes" / row["Name"] / "_data"
        pairs.append((row["Name"], row["UsageData"]["Size"], disk_usage(data)))
    for name, told, measured in pairs:
        if told != measured:
            problems.append(f"{name}: df says {told}, du {measured}")
    return problems


def _explained(box: Instance, seen: Seen) -> list[str]:
    """Every byte has a name and an owner, and their sum is what du says."""
    before = disk_usage(box.data)
    usage = box.client.get("/boxship/system/usage")
    after = disk_usage(box.data)
    fits = min(before, after) <= usage["Total"] <= max(before, after)  # a log may grow meanwhile
    problems = [] if fits else [f"the parts have {usage['Total']} bytes, du says {before}, then {after}"]
    for part in usage["Parts"]:
        name = part["Name"]
        if name.startswith("other: ") and name not in OTHERS:
            problems.append(f"{name}: {part['Size']} bytes")
        elif "unclaimed" in name or "being made" in name:
            problems.append(f"{name}: {part['Count']}, {part['Size']} bytes")
    for folder in TRANSIENT:
        left = sorted(path.name for path in (box.data / folder).glob("*") if path.name not in STANDING)
        problems += [f"left in {folder}: {left}"] if left else []
    return problems


def _store(box: Instance) -> list[str]:
    """No claim without a blob or layer, no blob or layer without a claim, every blob what it is called, no record
    without its parts."""
    lines = box.client.call("POST", "/boxship/system/check", rate=0)
    findings = [line["Finding"] for line in lines if "Finding" in line]
    if "Findings" not in lines[-1]:
        return [f"the check did not end: {lines[-1]}"]
    return [f"{found['What']}: {found['Problem']} ({found['UsedBy']})" for found in findings]


def files_of(root: Path) -> dict[str, int]:
    """Path → bytes of everything under a data root; folders have -1. Without the state store: it keeps the history of
    events, and its pages are used again but not given back."""
    found = {}
    for folder, folders, files in os.walk(root):
        for name in folders:
            found[str((Path(folder) / name).relative_to(root))] = -1
        for name in files:
            if not name.startswith("state.db"):
                path = Path(folder) / name
                found[str(path.relative_to(root))] = path.stat().st_size
    return found


def check_empty(box: Instance, first: dict[str, int], seconds: float = SETTLE_SECONDS) -> None:
    """After everything was removed and the daemon stopped: nothing of the instance is left on the machine."""
    deadline = time.monotonic() + seconds
    while problems := _left_behind(box, first):
        assert time.monotonic() < deadline, "\n".join(problems)
        time.sleep(0.02)


def _left_behind(box: Instance, first: dict[str, int]) -> list[str]:
    problems = [f"process {pid}: {_command(pid)}" for pid in box.processes()]
    problems += [f"cgroup {folder}" for folder in _cgroup_folders(box.name)]
    prefix, alias = veth_prefix(box.name), f"boxship:{box.name}:"
    for link in links():
        if link["ifname"].startswith(prefix) or str(link.get("ifalias", "")).startswith(alias):
            problems.append(f"interface {link['ifname']}")
    if rule_table(box.name) is not None:
        problems.append(f"nft table boxship_{box.name}")
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    problems += [f"mount {line}" for line in mounts if f"{box.home}/" in line]
    now = files_of(box.data)
    problems += [f"left in the data root: {path}" for path in sorted(now.keys() - first.keys())]
    problems += [f"gone from the data root: {path}" for path in sorted(first.keys() - now.keys())]
    problems += [
        f"size of {path}: {first[path]}, {now[path]}" for path in first.keys() & now if first[path] != now[path]
    ]
    return problems


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return "gone"
