"""What `boxship doctor` says of machines: of made-up ones, and of this one."""

import json
from collections.abc import Mapping, Sequence

import pytest

from boxship.cli.examination import examine, kernel, traffic
from boxship.cli.examination.machine import GOOD, MISSING, WARNING, Finding, Machine
from boxship.cli.program import run

ALL_CAPABILITIES = "CapEff:\t000001ffffffffff\n"
HYBRID = """\
/dev/vda / ext4 rw,relatime 0 0
cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,nosuid,relatime,cpu,cpuacct 0 0
cgroup /sys/fs/cgroup/cpuset cgroup rw,relatime,cpuset 0 0
cgroup /sys/fs/cgroup/memory cgroup rw,relatime,memory 0 0
cgroup /sys/fs/cgroup/pids cgroup rw,relatime,pids 0 0
cgroup /sys/fs/cgroup/systemd cgroup rw,relatime,name=systemd 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0
"""
UNIFIED = "/dev/vda / btrfs rw 0 0\ncgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n"


class MadeUp(Machine):
    """A machine of given files and programs; a program is a text (exit code 0) or its exit code and text."""

    def __init__(self, files: Mapping[str, str], programs: Mapping[str, str | tuple[int, str]]) -> None:
        super().__init__("/var/lib/boxship")
        self.files = files
        self.programs = programs

    def read(self, path: str) -> str:
        return self.files.get(path, "")

    def exists(self, path: str) -> bool:
        return path in self.files

    def find(self, program: str) -> str:
        return f"/usr/bin/{program}" if program in self.programs else ""

    def run(self, command: Sequence[str], text: str = "") -> tuple[int, str]:
        answer = self.programs.get(command[0], (-1, "not installed"))
        return (0, answer) if isinstance(answer, str) else answer

    def nearest_folder(self) -> str:
        return "/var/lib"

    def free_space(self) -> tuple[int, int]:
        return 50 << 30, 10_000_000


def states(findings: list[Finding]) -> list[str]:
    return [finding.state for finding in findings]


def test_a_machine_with_nothing_is_told_what_to_get() -> None:
    findings = examine(MadeUp({}, {}))
    missing = {finding.name: finding for finding in findings if finding.state == MISSING}
    assert set(missing) >= {"rights", "namespaces", "cgroups", "seccomp", "overlayfs", "runtime", "monitor"}
    assert all(finding.remedy for finding in missing.values())
    assert missing["monitor"].remedy == "apt-get install conmon"
    (repositories,) = [finding for finding in findings if finding.name == "repositories"]
    assert (repositories.state, repositories.remedy) == (WARNING, "apt-get install git")


def test_a_machine_with_everything_has_no_complaint() -> None:
    files = {f"/proc/self/ns/{name}": "" for name in kernel.NAMESPACES} | {
        "/proc/self/status": ALL_CAPABILITIES,
        "/proc/self/mounts": UNIFIED,
        "/sys/fs/cgroup/cgroup.controllers": "cpuset cpu io memory pids\n",
        "/proc/sys/kernel/seccomp/actions_avail": "kill_process trap errno allow\n",
        "/proc/sys/net/ipv4/ip_forward": "1\n",
        "/etc/resolv.conf": "nameserver 192.0.2.1\n",
    }
    names = ("crun", "runc", "conmon", "docker", "tini-static", "busybox", "mmdebstrap", "git")
    programs = dict.fromkeys(names, "v 1.2.3")
    programs |= {"unshare": "", "nft": '{"nftables": []}', "ldconfig": "\tlibnftables.so.1 (libc6) => /lib/x.so.1\n"}
    findings = examine(MadeUp(files, programs))
    assert set(states(findings)) == {GOOD}, [(finding.name, finding.text) for finding in findings]
    assert "crun 1.2.3 (/usr/bin/crun)" in [finding.text for finding in findings]


def test_rights_are_told_apart() -> None:
    def held(number: str) -> str:
        return kernel.rights(MadeUp({"/proc/self/status": f"CapEff:\t{number}\n"}, {}))[0].state

    assert held("000001ffffffffff") == GOOD
    assert held("000001fffeffffff") == WARNING  # without CAP_SYS_RESOURCE
    assert held("0000000000000000") == MISSING


def test_every_cgroup_layout_is_known() -> None:
    swap = {"/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes": ""}
    hybrid = kernel.cgroups(MadeUp({"/proc/self/mounts": HYBRID, **swap}, {}))
    assert states(hybrid) == [GOOD]
    assert "hybrid" in hybrid[0].text
    assert states(kernel.cgroups(MadeUp({"/proc/self/mounts": HYBRID}, {}))) == [GOOD, WARNING]  # swap not counted
    without = HYBRID.replace("rw,relatime,memory", "rw,relatime,freezer")
    assert "without memory" in kernel.cgroups(MadeUp({"/proc/self/mounts": without}, {}))[0].text
    unified = {"/proc/self/mounts": UNIFIED, "/sys/fs/cgroup/cgroup.controllers": "cpu cpuset memory pids io"}
    assert states(kernel.cgroups(MadeUp(unified, {}))) == [GOOD]


def test_the_filesystem_of_a_path_is_the_nearest_mount() -> None:
    mounts = "a / ext4 rw 0 0\nb /var tmpfs rw 0 0\nc /var/library xfs rw 0 0\n"
    assert kernel.filesystem_of("/var/lib", mounts) == "tmpfs"
    assert kernel.filesystem_of("/var/library/x", mounts) == "xfs"
    assert kernel.filesystem_of("/etc", mounts) == "ext4"
    assert kernel.filesystem_of("/etc", "") == "?"


def chain(table: str, hook: str, policy: str) -> dict[str, object]:
    return {"chain": {"family": "ip", "table": table, "name": "FORWARD", "hook": hook, "policy": policy}}


def test_other_firewalls_that_drop_are_named() -> None:
    chains = [chain("filter", "forward", "drop"), chain("filter", "input", "drop"), chain("mine", "forward", "accept")]
    chains += [chain("boxship_x", "forward", "drop"), {"chain": {"family": "ip", "table": "t", "name": "plain"}}]
    output = json.dumps({"nftables": [{"metainfo": {}}, *chains]})
    findings = traffic.firewalls(MadeUp({}, {"nft": output}))
    assert states(findings) == [WARNING]
    assert findings[0].text.startswith("table ip filter, chain FORWARD drops")
    legacy = MadeUp({"/proc/net/ip_tables_names": "filter\n"}, {"iptables-legacy": "-P FORWARD DROP\n"})
    assert "iptables-legacy" in traffic.firewalls(legacy)[0].text
    assert traffic.dropping_chains("not JSON") == []


def test_name_servers_that_containers_cannot_reach_are_a_warning() -> None:
    def asked(text: str) -> Finding:
        return traffic.name_servers(MadeUp({"/etc/resolv.conf": text}, {}))[0]

    assert asked("nameserver 192.0.2.1\nnameserver 127.0.0.53\n").text == "192.0.2.1"
    assert asked("nameserver 127.0.0.53\nnameserver ::1\n").state == WARNING
    assert asked("search example.org\n").state == WARNING
    assert asked("nameserver fe80::1%eth0\n").state == GOOD


def test_this_machine_can_be_asked(capsys: pytest.CaptureFixture[str]) -> None:
    status = run(["doctor", "--format", "json"])
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert status == (1 if any(row["State"] == MISSING for row in rows) else 0)
    assert {row["Name"] for row in rows} >= {"overlayfs", "cgroups", "firewalls", "nftables"}
    run(["doctor"])
    assert capsys.readouterr().out.startswith("CHECK")
