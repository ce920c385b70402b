"""`docker run` and what a process may do: capabilities, system calls, devices, namespaces, masked paths."""

import json
import os
import resource
from pathlib import Path

import pytest
from clients_box import SECONDS, Box

from daemons import until

DEFAULT = 0x00000000A80425FB  # chown … setfcap: the 14 of Docker


def capabilities(box: Box, *flags: str) -> dict[str, int]:
    lines = box.run(*flags, do="grep ^Cap /proc/self/status").splitlines()
    return {line.split(":")[0]: int(line.split(":")[1], 16) for line in lines}


def test_default_capabilities(box: Box) -> None:
    caps = capabilities(box)
    assert caps["CapEff"] == caps["CapPrm"] == caps["CapBnd"] == DEFAULT
    assert caps["CapInh"] == caps["CapAmb"] == 0


def test_another_user_has_none_in_effect(box: Box) -> None:
    caps = capabilities(box, "-u", "1000")
    assert caps["CapEff"] == caps["CapPrm"] == 0
    assert caps["CapBnd"] == DEFAULT


def test_adding_and_dropping(box: Box) -> None:
    assert capabilities(box, "--cap-add", "SYS_TIME")["CapBnd"] == DEFAULT | 1 << 25
    assert capabilities(box, "--cap-add", "cap_sys_time")["CapEff"] == DEFAULT | 1 << 25
    assert capabilities(box, "--cap-drop", "NET_RAW")["CapEff"] == DEFAULT & ~(1 << 13)
    assert capabilities(box, "--cap-drop", "ALL")["CapBnd"] == 0
    assert capabilities(box, "--cap-drop", "ALL", "--cap-add", "CHOWN")["CapEff"] == 1
    everything = capabilities(box, "--cap-add", "ALL")["CapBnd"]
    assert everything & ~(1 << 24) == (1 << 41) - 1 & ~(1 << 24)  # where the machine itself lacks none but sys_resource
    assert capabilities(box, "--cap-add", "ALL", "--cap-drop", "SYS_ADMIN")["CapEff"] == everything & ~(1 << 21)
    assert "NONSENSE" in box.fails("run", "--rm", "--cap-add", "NONSENSE", "busybox", "true")
    code, _, message = box.ends("--cap-drop", "CHOWN", do="chown 1 /etc/passwd")
    assert code != 0
    assert "Operation not permitted" in message


def test_the_default_filter_of_system_calls(box: Box) -> None:
    assert box.run(do="grep ^Seccomp: /proc/self/status").split()[1] == "2"
    code, _, message = box.ends("--cap-add", "NET_ADMIN", do="unshare -U true")
    assert code != 0
    assert "not permitted" in message
    assert box.run(
        "--security-opt", "seccomp=unconfined", do="grep ^Seccomp: /proc/self/status; unshare -U true && echo yes"
    ).endswith("yes")
    assert box.run("--security-opt", "seccomp=builtin", do="grep ^Seccomp: /proc/self/status").split()[1] == "2"


def test_a_filter_from_a_file(box: Box) -> None:
    profile = box.folder / "profile.json"
    rules = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"],
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}],
    }
    profile.write_text(json.dumps(rules))
    out = box.run("--security-opt", f"seccomp={profile}", do="mkdir /x 2>&1; touch /y && echo fine")
    assert "Function not implemented" in out
    assert out.endswith("fine")
    profile.write_text('{"defaultAction": "SCMP_ACT_NONSENSE"}')
    assert box.fails("run", "--rm", "--security-opt", f"seccomp={profile}", "busybox", "true")
    profile.write_text("nonsense")
    assert box.fails("run", "--rm", "--security-opt", f"seccomp={profile}", "busybox", "true")


def test_no_new_privileges(box: Box) -> None:
    assert box.run(do="grep ^NoNewPrivs /proc/self/status").split()[1] == "0"
    for text in ("no-new-privileges", "no-new-privileges=true", "no-new-privileges:true"):
        assert box.run("--security-opt", text, do="grep ^NoNewPrivs /proc/self/status").split()[1] == "1"
    assert (
        box.run("--security-opt", "no-new-privileges=false", do="grep ^NoNewPrivs /proc/self/status").split()[1] == "0"
    )


def test_privileged(box: Box) -> None:
    name = box.up("--privileged")
    own = int(
        next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapBnd")).split()[
            1
        ],
        16,
    )
    assert int(box.inside(name, "grep ^CapEff /proc/self/status").split()[1], 16) == own
    assert box.inside(name, "grep ^Seccomp: /proc/self/status").split()[1] == "0"
    assert box.inside(name, "mkdir /m && mount -t tmpfs none /m && echo mounted") == "mounted"
    assert box.inside(name, "grep ' /sys ' /proc/mounts").split()[3].split(",")[0] == "rw"
    assert box.inside(name, "ls /dev | wc -l") != box.run(do="ls /dev | wc -l")
    assert " /proc/kcore " not in box.inside(name, "cat /proc/mounts")


def test_masked_and_read_only_paths(box: Box) -> None:
    mounts = box.run(do="cat /proc/mounts")
    for path in ("/proc/kcore", "/proc/keys", "/proc/timer_list"):
        if Path(path).exists():
            assert f" {path} " in mounts, path
    for path in ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"):
        if Path(path).exists():
            assert f" {path} proc ro" in mounts, path
    assert "/sys sysfs ro" in mounts
    _, out, _ = box.ends(do="cat /proc/kcore | wc -c; ls /proc/scsi /sys/firmware 2>/dev/null | grep -v :")
    assert out.split() == ["0"]
    assert box.ends(do="echo 1 >/proc/sys/kernel/shmmax")[0] != 0
    assert box.ends(do="echo b >/proc/sysrq-trigger")[0] != 0
    shown = box.inspect(box.made())["HostConfig"]
    assert "/proc/kcore" in shown["MaskedPaths"]
    assert "/proc/sys" in shown["ReadonlyPaths"]
    assert " /proc/kcore " not in box.run("--security-opt", "systempaths=unconfined", do="cat /proc/mounts")


def test_default_devices_only(box: Box) -> None:
    names = set(box.run(do="ls /dev").split())
    assert names <= {
        "core",
        "fd",
        "full",
        "mqueue",
        "null",
        "ptmx",
        "pts",
        "random",
        "shm",
        "stderr",
        "stdin",
        "stdout",
        "tty",
        "urandom",
        "zero",
        "console",
    }
    assert {"null", "zero", "full", "random", "urandom", "tty", "ptmx", "shm"} <= names
    out = box.run(do="mknod /d b 8 0 2>&1 && cat /d 2>&1 || true; mknod /n c 1 3 && echo x >/n && echo null works")
    assert "Operation not permitted" in out
    assert out.endswith("null works")


def test_device(box: Box) -> None:
    out = box.run(
        "--device",
        "/dev/kmsg",
        "--cap-add",
        "SYSLOG",
        do="ls -l /dev/kmsg; head -c 1 /dev/kmsg >/dev/null && echo readable",
    )
    assert out.startswith("c")
    out = box.run(
        "--device", "/dev/null:/dev/nothing:r", do="cat /dev/nothing && echo r; echo x >/dev/nothing || echo no w"
    )
    assert "r" in out
    assert "no-such-device" in box.fails("run", "--rm", "--device", "/dev/no-such-device", "busybox", "true")
    assert box.fails("run", "--rm", "--device", "/dev/null:/dev/x:q", "busybox", "true")


def test_device_cgroup_rule(box: Box) -> None:
    script = "mknod /dev/kmsg2 c 1 11; head -c 1 /dev/kmsg2 >/dev/null 2>&1 && echo yes || echo no"
    assert box.run(do=script) == "no"
    assert box.run("--device-cgroup-rule", "c 1:11 r", "--cap-add", "SYSLOG", do=script) == "yes"


def test_ulimit(box: Box) -> None:
    assert box.run("--ulimit", "nofile=100:200", do="ulimit -n; ulimit -Hn").split() == ["100", "200"]
    assert box.run(
        "--ulimit", "core=0", "--ulimit", "nproc=50", do="ulimit -c; grep processes /proc/self/limits"
    ).split()[:4] == ["0", "Max", "processes", "50"]
    assert box.fails("run", "--rm", "--ulimit", "nonsense=1", "busybox", "true")
    soft, _ = resource.getrlimit(resource.RLIMIT_STACK)
    assert box.run(do="ulimit -s") == ("unlimited" if soft < 0 else str(soft // 1024))


def test_sysctl(box: Box) -> None:
    flags = ["--sysctl", "net.ipv4.ip_unprivileged_port_start=99", "--sysctl", "kernel.msgmax=1234"]
    assert box.run(*flags, do="cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/msgmax").split() == [
        "99",
        "1234",
    ]
    assert box.fails("run", "--rm", "--sysctl", "vm.swappiness=1", "busybox", "true")
    assert box.fails("run", "--rm", "--network", "host", "--sysctl", "net.ipv4.ip_forward=1", "busybox", "true")


def test_shm_size(box: Box) -> None:
    assert box.run(do="df -k /dev/shm | tail -1 | awk '{print $2}'") == "65536"
    assert box.run("--shm-size", "8m", do="df -k /dev/shm | tail -1 | awk '{print $2}'") == "8192"


def namespace(box: Box, name: str, kind: str) -> str:
    return box.inside(name, f"readlink /proc/self/ns/{kind}")


def test_ipc_modes(box: Box) -> None:
    host = os.readlink("/proc/self/ns/ipc")
    shareable, private = box.up("--ipc", "shareable"), box.up()
    assert len({host, namespace(box, shareable, "ipc"), namespace(box, private, "ipc")}) == 3
    box.inside(shareable, "echo shared >/dev/shm/x")
    sharing = box.up("--ipc", f"container:{shareable}")
    assert namespace(box, sharing, "ipc") == namespace(box, shareable, "ipc")
    assert box.inside(sharing, "cat /dev/shm/x") == "shared"
    assert "non-shareable" in box.fails("run", "--rm", "--ipc", f"container:{private}", "busybox", "true")
    assert namespace(box, box.up("--ipc", "host"), "ipc") == host
    assert " /dev/shm " not in box.run("--ipc", "none", do="cat /proc/mounts")
    assert box.fails("run", "--rm", "--ipc", "nonsense", "busybox", "true")


def test_pid_modes(box: Box) -> None:
    host = os.readlink("/proc/self/ns/pid")
    name = box.up()
    assert namespace(box, name, "pid") != host
    sharing = box.up("--pid", f"container:{name}")
    assert namespace(box, sharing, "pid") == namespace(box, name, "pid")
    assert box.inside(sharing, "tr '\\0' ' ' </proc/1/cmdline").startswith("sleep 1000")
    assert namespace(box, box.up("--pid", "host"), "pid") == host
    assert box.ends("--init", "--pid", "host", do="true") == (0, "", "")  # an init of its own would be of no use there
    box.docker("rm", "-f", name)
    until(lambda: box.state(sharing) == "exited", SECONDS, "it ends with the namespace that it shares")


def test_uts_and_cgroup_modes(box: Box) -> None:
    assert box.run("--uts", "host", do="readlink /proc/self/ns/uts") == os.readlink("/proc/self/ns/uts")
    assert box.run(do="readlink /proc/self/ns/uts") != os.readlink("/proc/self/ns/uts")
    assert box.run("--cgroupns", "host", do="readlink /proc/self/ns/cgroup") == os.readlink("/proc/self/ns/cgroup")
    assert box.run("--cgroupns", "private", do="readlink /proc/self/ns/cgroup") != os.readlink("/proc/self/ns/cgroup")
    assert box.fails("run", "--rm", "--uts", "nonsense", "busybox", "true")
    assert "conflicting options" in box.fails("run", "--rm", "--uts", "host", "-h", "x", "busybox", "true")


def test_the_hosts_user_namespace_only(box: Box) -> None:
    assert box.run("--userns", "host", do="readlink /proc/self/ns/user") == os.readlink("/proc/self/ns/user")
    assert box.fails("run", "--rm", "--userns", "private", "busybox", "true")


def test_runtimes(box: Box) -> None:
    assert box.run("--runtime", "crun", do="echo crun") == "crun"
    assert box.run("--runtime", "runc", do="echo runc") == "runc"
    assert "unknown or invalid runtime name: nonsense" in box.fails(
        "run", "--rm", "--runtime", "nonsense", "busybox", "true"
    )


@pytest.mark.parametrize("flags", [(), ("--read-only",), ("-u", "1000")])
def test_no_way_to_the_hosts_cgroups(box: Box, flags: tuple[str, ...]) -> None:
    search = "find /sys/fs/cgroup -mindepth 2 -name cgroup.procs"  # on v1 the folder above them is a tmpfs of its own
    script = (
        f"[ -e /sys/fs/cgroup/memory ] || ! echo 1 >/sys/fs/cgroup/cgroup.procs || exit 77; for file in $({search})"
    )
    out = box.run(*flags, do=f"{script}; do echo 1 >$file && exit 77; echo tried; done 2>/dev/null; true")
    assert "tried" in out or not Path("/sys/fs/cgroup/memory").exists()
