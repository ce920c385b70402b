"""config.json from plans: pure."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from boxship.errors import Invalid, Unavailable
from boxship.runtime.config import DEVICE_RULES, mounts, render
from boxship.runtime.plan import HOST, NEW, Identity, Namespaces, Plan, Rights
from boxship.spec.container import DeviceMapping, Resources, Ulimit
from boxship.spec.mount import Mount
from boxship.sys.cgroup import Layout, Version

LAYOUT = Layout(Version.V1, "/cg", {"memory": "/cg/memory", "cpu": "/cg/cpu"})
PLAN = Plan(id="c1", rootfs="/root", arguments=("true",), hostname="box", cgroup_path="/boxship-x/c1")


def made(**changes: Any) -> dict[str, Any]:
    return render(msgspec.structs.replace(PLAN, **changes), LAYOUT)


def targets(plan: Plan) -> list[str]:
    return [mount.target for mount in mounts(plan)]


def test_the_plain_container() -> None:
    config = made()
    assert config["root"] == {"path": "/root", "readonly": False}
    assert config["hostname"] == "box"
    assert config["process"]["args"] == ["true"]
    assert config["process"]["user"] == {"uid": 0, "gid": 0, "additionalGids": [0]}
    assert config["linux"]["cgroupsPath"] == "/boxship-x/c1"
    assert config["linux"]["rootfsPropagation"] == "private"
    assert "seccomp" not in config["linux"]
    assert config["process"]["oomScoreAdj"] == 0, "not what the daemon has"
    msgspec.json.encode(config)


def test_the_kernel_mounts_come_first_and_can_be_replaced() -> None:
    assert targets(PLAN) == ["/proc", "/dev", "/dev/pts", "/sys", "/sys/fs/cgroup", "/dev/mqueue", "/dev/shm"]
    own = Mount("tmpfs", "tmpfs", "/dev/shm/", ("size=1m",))
    deep = Mount("bind", "/h", "/a/b/c")
    shallow = Mount("bind", "/h", "/a")
    plan = msgspec.structs.replace(PLAN, mounts=(deep, own, shallow))
    found = targets(plan)
    assert found.count("/dev/shm") == 0
    assert found[-3:] == ["/a", "/dev/shm/", "/a/b/c"]


def test_binds_are_recursive_unless_said() -> None:
    config = made(mounts=(Mount("bind", "/h", "/a", ("ro",)), Mount("bind", "/h", "/b", ("bind",))))
    options = {each["destination"]: each["options"] for each in config["mounts"]}
    assert options["/a"] == ["rbind", "ro"]
    assert options["/b"] == ["bind"]


@pytest.mark.parametrize(
    ("word", "wanted"), [("rprivate", "private"), ("rslave", "slave"), ("shared", "shared"), ("rshared", "shared")]
)
def test_propagation_of_the_root_follows_the_strongest(word: str, wanted: str) -> None:
    assert made(mounts=(Mount("bind", "/h", "/a", (word,)),))["linux"]["rootfsPropagation"] == wanted


def test_shared_memory() -> None:
    shm = next(mount for mount in mounts(msgspec.structs.replace(PLAN, shm_size=4096)) if mount.target == "/dev/shm")
    assert "size=4096" in shm.options
    host = msgspec.structs.replace(PLAN, shm="/dev/shm", namespaces=Namespaces(ipc=HOST))
    kinds = {mount.target: (mount.kind, mount.source) for mount in mounts(host)}
    assert kinds["/dev/shm"] == ("bind", "/dev/shm")


def test_namespaces() -> None:
    config = made(namespaces=Namespaces(network="/net", ipc=HOST, pid=NEW, uts=HOST, cgroup=NEW))
    assert config["linux"]["namespaces"] == [
        {"type": "mount"},
        {"type": "network", "path": "/net"},
        {"type": "pid"},
        {"type": "cgroup"},
    ]
    assert "hostname" not in config


def test_only_root_has_capabilities_in_force() -> None:
    rights = Rights(capabilities=("CAP_CHOWN",), no_new_privileges=True)
    root = made(rights=rights)["process"]
    assert root["capabilities"] == {
        "bounding": ["CAP_CHOWN"],
        "effective": ["CAP_CHOWN"],
        "permitted": ["CAP_CHOWN"],
    }
    assert root["noNewPrivileges"]
    user = made(rights=rights, identity=Identity(uid=7, gid=8, groups=(9,)))["process"]
    assert user["capabilities"] == {"bounding": ["CAP_CHOWN"], "effective": [], "permitted": []}
    assert user["user"] == {"uid": 7, "gid": 8, "additionalGids": [8, 9]}


def test_a_terminal_has_its_size() -> None:
    assert made(tty=True, console_size=(24, 80))["process"]["consoleSize"] == {"height": 24, "width": 80}
    assert "consoleSize" not in made(tty=True)["process"]
    assert "consoleSize" not in made(console_size=(24, 80))["process"]


def test_devices() -> None:
    rights = Rights(devices=(DeviceMapping("/dev/null", "/dev/nothing", "r"),))
    linux = made(rights=rights)["linux"]
    assert [(device["path"], device["type"], device["major"], device["minor"]) for device in linux["devices"]] == [
        ("/dev/nothing", "c", 1, 3)
    ]
    rules = linux["resources"]["devices"]
    assert rules[0] == {"allow": False, "access": "rwm"}
    assert len(rules) == 1 + len(DEVICE_RULES) + 1
    assert rules[-1] == {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "r"}


def test_a_folder_of_devices(tmp_path: Path) -> None:
    rights = Rights(devices=(DeviceMapping("/dev/null", "/dev/a"), DeviceMapping("/dev/zero", "/dev/a")))
    devices = made(rights=rights)["linux"]["devices"]
    assert [(device["path"], device["minor"]) for device in devices] == [("/dev/a", 5)], "a later one wins"
    with pytest.raises(Invalid, match="error gathering device information"):
        made(rights=Rights(devices=(DeviceMapping(str(tmp_path), "/dev/x"),)))


def test_device_rules_of_the_user() -> None:
    rules = made(resources=Resources(device_cgroup_rules=("c 42:* rwm", "a *:* r")))["linux"]["resources"]["devices"]
    assert rules[-2:] == [
        {"allow": True, "type": "c", "access": "rwm", "major": 42},
        {"allow": True, "type": "a", "access": "r"},
    ]
    for wrong in ("c 42 rwm", "x 1:2 r", "c 1:2 rwx", "c a:1 r", ""):
        with pytest.raises(Invalid, match="invalid device cgroup rule format"):
            made(resources=Resources(device_cgroup_rules=(wrong,)))


def test_privileged_opens_everything() -> None:
    config = made(rights=Rights(privileged=True))
    assert config["linux"]["resources"]["devices"] == [{"allow": True, "access": "rwm"}]
    assert any(device["path"] == "/dev/null" for device in config["linux"]["devices"])
    options = {each["destination"]: each["options"] for each in config["mounts"]}
    assert "ro" not in options["/sys"]
    assert "ro" not in options["/sys/fs/cgroup"]
    assert "ro" in {each["destination"]: each["options"] for each in made()["mounts"]}["/sys"]


def test_ulimits() -> None:
    limits = made(ulimits=(Ulimit("nofile", 1024, 2048), Ulimit("core", -1, -1)))["process"]["rlimits"]
    assert limits == [
        {"type": "RLIMIT_NOFILE", "soft": 1024, "hard": 2048},
        {"type": "RLIMIT_CORE", "soft": (1 << 64) - 1, "hard": (1 << 64) - 1},
    ]
    with pytest.raises(Invalid, match="invalid ulimit type: files"):
        made(ulimits=(Ulimit("files", 1, 1),))
    for soft, hard in ((2, 1), (-1, 5)):
        with pytest.raises(Invalid, match="soft limit must be less than or equal to hard limit"):
            made(ulimits=(Ulimit("nofile", soft, hard),))


def test_init_goes_before_the_program() -> None:
    config = made(init=True)
    assert config["process"]["args"] == ["/sbin/docker-init", "--", "true"]
    assert any(each["destination"] == "/sbin/docker-init" for each in config["mounts"])


def test_init_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("boxship.runtime.config.find_init", lambda: "")
    with pytest.raises(Unavailable, match="cannot use an init process"):
        made(init=True)


def test_the_rest() -> None:
    config = made(
        oom_score_adjustment=500,
        domainname="example",
        sysctls={"net.ipv4.ip_forward": "1"},
        annotations={"a": "b"},
        rights=Rights(masked_paths=("/proc/kcore",), read_only_paths=("/proc/sys",), seccomp={"defaultAction": "x"}),
    )
    assert config["process"]["oomScoreAdj"] == 500
    assert config["domainname"] == "example"
    assert config["linux"]["sysctl"] == {"net.ipv4.ip_forward": "1"}
    assert config["linux"]["maskedPaths"] == ["/proc/kcore"]
    assert config["linux"]["readonlyPaths"] == ["/proc/sys"]
    assert config["linux"]["seccomp"] == {"defaultAction": "x"}
    assert config["annotations"] == {"a": "b"}
