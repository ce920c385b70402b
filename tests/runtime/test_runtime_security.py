"""Rights: capabilities, options, the default filter as the kernel holds it, profiles of users, devices."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boxship.errors import BoxshipError, Invalid, Unsupported
from boxship.runtime import seccomp, security
from boxship.runtime.plan import Rights
from boxship.spec.container import DeviceMapping
from boxship.sys.seccomp import available, compile_filter

DEFAULT = (
    "CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE NET_RAW SYS_CHROOT MKNOD AUDIT_WRITE "
    "SETFCAP"
).split()


def decide(**changes: Any) -> tuple[Rights, tuple[str, ...]]:
    asked: dict[str, Any] = {
        "privileged": False,
        "add": (),
        "drop": (),
        "options": (),
        "masked_paths": None,
        "read_only_paths": None,
        "devices": (),
    }
    return security.rights(**(asked | changes))


def granted(**changes: Any) -> set[str]:
    return {name.removeprefix("CAP_") for name in decide(**changes)[0].capabilities}


@pytest.fixture
def all_possible(monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon that lacks nothing."""
    monkeypatch.setattr(security, "possible_capabilities", lambda: frozenset(security.ALL_CAPABILITIES))


@pytest.mark.usefixtures("all_possible")
def test_capabilities() -> None:
    every = {name.removeprefix("CAP_") for name in security.ALL_CAPABILITIES}
    assert len(every) == 41
    assert granted() == set(DEFAULT)
    assert granted(add=("net_admin", "CAP_SYS_TIME")) == {*DEFAULT, "NET_ADMIN", "SYS_TIME"}
    assert granted(drop=("MKNOD", "cap_net_raw")) == set(DEFAULT) - {"MKNOD", "NET_RAW"}
    assert granted(drop=("ALL",), add=("CHOWN",)) == {"CHOWN"}
    assert granted(drop=("all",)) == set()
    assert granted(add=("ALL",), drop=("SYS_ADMIN",)) == every - {"SYS_ADMIN"}
    assert granted(privileged=True, drop=("ALL",)) == every
    for field, name in (("add", "CapAdd"), ("drop", "CapDrop")):
        with pytest.raises(Invalid, match=f'invalid {name}: unknown capability: "CAP_NOPE"'):
            decide(**{field: ("nope",)})


def test_what_the_daemon_lacks_is_not_given_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    possible = frozenset(security.ALL_CAPABILITIES) - {"CAP_SYS_RESOURCE", "CAP_MKNOD"}
    monkeypatch.setattr(security, "possible_capabilities", lambda: possible)
    rights, warnings = decide(add=("SYS_RESOURCE",))
    assert {"CAP_SYS_RESOURCE", "CAP_MKNOD"}.isdisjoint(rights.capabilities)
    assert "SYS_RESOURCE" in " ".join(warnings)
    assert "CAP_SYS_RESOURCE" not in decide(privileged=True)[0].capabilities


def test_paths() -> None:
    rights, _ = decide()
    assert {"/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware", "/proc/acpi"} <= set(rights.masked_paths)
    assert {"/proc/interrupts", "/sys/devices/virtual/powercap"} <= set(rights.masked_paths)
    assert set(rights.read_only_paths) == {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
    chosen, _ = decide(masked_paths=("/proc/x",), read_only_paths=())
    assert (chosen.masked_paths, chosen.read_only_paths) == (("/proc/x",), ())
    privileged, _ = decide(privileged=True)
    assert (privileged.masked_paths, privileged.read_only_paths, privileged.seccomp) == ((), (), None)


def test_security_options() -> None:
    assert decide()[0].seccomp is not None
    assert decide(options=("seccomp=builtin",))[0].seccomp == decide()[0].seccomp
    for word in ("seccomp=unconfined", "seccomp:unconfined"):
        assert decide(options=(word,))[0].seccomp is None
    for word in ("no-new-privileges", "no-new-privileges:true", "no-new-privileges=true"):
        assert decide(options=(word,))[0].no_new_privileges
    assert not decide(options=("no-new-privileges=false",))[0].no_new_privileges
    decide(options=("apparmor=unconfined", "label=disable"))
    profile = json.dumps({"defaultAction": "SCMP_ACT_ALLOW"})
    assert decide(privileged=True, options=(f"seccomp={profile}",))[0].seccomp is not None
    for word in ("apparmor=mine", "label=type:x", "label=user:y"):
        with pytest.raises(Unsupported, match=word.partition("=")[0]):
            decide(options=(word,))
    for word in ("", "seccomp", "nonsense", "nonsense=1", "no-new-privileges=perhaps"):
        with pytest.raises(Invalid, match="--security-opt"):
            decide(options=(word,))


# --- the default profile ---


def rules_of(capabilities: set[str], machine: str = "x86_64", kernel: tuple[int, int] = (6, 1)) -> dict[str, Any]:
    return seccomp.resolve(seccomp.default_profile(), {f"CAP_{name}" for name in capabilities}, machine, kernel)


def allowed(capabilities: set[str], **machine: Any) -> set[str]:
    """System calls that are allowed whatever their arguments."""
    return {
        name
        for rule in rules_of(capabilities, **machine)["syscalls"]
        for name in rule["names"]
        if rule["action"] == "SCMP_ACT_ALLOW" and not rule.get("args")
    }


def test_the_default_profile_follows_the_capabilities() -> None:
    plain = allowed(set(DEFAULT))
    assert {"read", "openat2", "futex_waitv", "fchmodat2", "mseal", "statmount", "chroot"} <= plain
    forbidden = {
        "mount",
        "umount2",
        "unshare",
        "setns",
        "bpf",
        "keyctl",
        "add_key",
        "request_key",
        "kexec_load",
        "reboot",
    }
    forbidden |= {"clone3", "clone", "userfaultfd", "perf_event_open", "io_uring_setup", "io_uring_enter", "swapon"}
    forbidden |= {"init_module", "open_by_handle_at", "pivot_root", "nfsservctl", "socket", "personality", "vm86"}
    assert plain.isdisjoint(forbidden)
    gained = {
        "SYS_ADMIN": {"mount", "unshare", "setns", "bpf", "clone", "clone3", "fsopen", "sethostname"},
        "SYS_MODULE": {"init_module", "finit_module", "delete_module"},
        "SYS_BOOT": {"reboot"},
        "SYS_TIME": {"settimeofday", "clock_settime"},
        "SYS_NICE": {"mbind", "set_mempolicy"},
        "SYSLOG": {"syslog"},
        "BPF": {"bpf"},
        "PERFMON": {"perf_event_open"},
        "DAC_READ_SEARCH": {"open_by_handle_at"},
        "SYS_PTRACE": {"kcmp", "pidfd_getfd"},
        "SYS_PACCT": {"acct"},
        "SYS_RAWIO": {"iopl", "ioperm"},
        "SYS_TTY_CONFIG": {"vhangup"},
    }
    for capability, names in gained.items():
        assert names.isdisjoint(plain)
        assert names <= allowed({*DEFAULT, capability}), capability
    assert "chroot" not in allowed(set(DEFAULT) - {"SYS_CHROOT"})
    every = {name.removeprefix("CAP_") for name in security.ALL_CAPABILITIES}
    assert {"keyctl", "kexec_load", "io_uring_setup", "userfaultfd"}.isdisjoint(allowed(every))


def test_the_default_profile_follows_machine_and_kernel() -> None:
    assert rules_of(set())["architectures"] == ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]
    assert rules_of(set(), "aarch64")["architectures"] == ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]
    assert "ptrace" in allowed(set())
    assert "ptrace" not in allowed(set(), kernel=(4, 7))
    assert "arch_prctl" in allowed(set())
    assert "arch_prctl" not in allowed(set(), machine="aarch64")
    assert "set_tls" in allowed(set(), machine="aarch64")


CHILD = r"""
import ctypes, errno, os, socket, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
program = sys.stdin.buffer.read()
buffer = ctypes.create_string_buffer(program)
fprog = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(buffer))
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, fprog, 0, 0) == 0, os.strerror(ctypes.get_errno())
def call(number, *arguments):
    result = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(argument) for argument in arguments])
    return 0 if result >= 0 else ctypes.get_errno()
print({name: call(*arguments) for name, arguments in eval(sys.argv[1]).items()})
"""


def tried(calls: dict[str, tuple[int, ...]], capabilities: set[str]) -> dict[str, int]:
    """What the kernel answers a process under the default filter: an errno, or 0."""
    program = compile_filter(rules_of(capabilities, os.uname().machine, (6, 1)))
    ended = subprocess.run(
        [sys.executable, "-I", "-S", "-c", CHILD, repr(calls)],
        input=program,
        capture_output=True,
        check=True,
        timeout=20,
    )
    return eval(ended.stdout)  # type: ignore[no-any-return]


@pytest.mark.skipif(not available() or os.uname().machine != "x86_64", reason="needs libseccomp and x86_64's numbers")
def test_the_kernel_holds_the_default_profile() -> None:
    stream, new_user = 1, 0x10000000
    answers = tried(
        {
            "socket unix": (41, 1, stream, 0),
            "socket inet": (41, 2, stream, 0),
            "socket netlink": (41, 16, 3, 0),
            "socket decnet": (41, 12, stream, 0),
            "socket alg": (41, 38, 5, 0),
            "socket vsock": (41, 40, stream, 0),
            "clone3": (435, 0, 0),
            "clone with namespaces": (56, new_user, 0),
            "unshare": (272, new_user),
            "keyctl": (250, 0, -3, 0),
            "io_uring_setup": (425, 1, 0),
            "personality linux": (135, 0),
            "personality asked": (135, 0xFFFFFFFF),
            "personality no randomization": (135, 0x0040000),
            "mount": (165, 0, 0, 0, 0, 0),
            "getpid": (39,),
        },
        set(DEFAULT),
    )
    refused = {name for name, answer in answers.items() if answer == errno.EPERM}
    assert refused == {
        *("socket decnet", "socket alg", "socket vsock", "clone with namespaces", "unshare", "keyctl"),
        *("io_uring_setup", "personality no randomization", "mount"),
    }
    assert answers["clone3"] == errno.ENOSYS
    assert all(answers[name] == 0 for name in ("socket unix", "socket inet", "socket netlink", "getpid"))
    administrator = tried({"unshare": (272, 0), "clone3": (435, 0, 0)}, {*DEFAULT, "SYS_ADMIN"})
    assert administrator["unshare"] == 0
    assert administrator["clone3"] not in (errno.EPERM, errno.ENOSYS)


# --- profiles that users give ---


def profile(*rules: dict[str, Any], **fields: Any) -> str:
    return json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": list(rules), **fields})


def test_a_profile_in_every_form() -> None:
    text = profile(
        {"name": "mkdir", "action": "SCMP_ACT_ERRNO", "errnoRet": 13, "args": None},
        {"names": ["chmod"], "action": "SCMP_ACT_ERRNO", "errno": "EACCES", "comment": "why", "includes": {}},
        {
            "names": ["rmdir"],
            "action": "SCMP_ACT_KILL_PROCESS",
            "args": [{"index": 1, "value": 2, "valueTwo": 3, "op": "SCMP_CMP_MASKED_EQ"}],
        },
        architectures=["SCMP_ARCH_X86_64"],
    )
    rules = decide(options=(f"seccomp={text}",))[0].seccomp
    assert rules is not None
    assert rules["architectures"] == ["SCMP_ARCH_X86_64"]
    assert [(rule["names"], rule.get("errnoRet")) for rule in rules["syscalls"]] == [
        (["mkdir"], 13),
        (["chmod"], errno.EACCES),
        (["rmdir"], None),
    ]
    assert rules["syscalls"][2]["args"] == [{"index": 1, "value": 2, "valueTwo": 3, "op": "SCMP_CMP_MASKED_EQ"}]


@pytest.mark.parametrize(
    "text",
    [
        "[",
        "[]",
        "not json",
        "[" * 100_000,
        " " * (2 << 20),
        profile({"action": "SCMP_ACT_ERRNO"}),
        profile({"names": ["x"], "name": "y", "action": "SCMP_ACT_ERRNO"}),
        profile({"names": ["x"], "action": "SCMP_ACT_MAYBE"}),
        profile({"names": ["x"], "action": "SCMP_ACT_ERRNO", "exclude": {"caps": ["CAP_CHOWN"]}}),
        profile({"names": ["x"], "action": "SCMP_ACT_ERRNO", "errno": "EMAYBE"}),
        profile({"names": ["x"], "action": "SCMP_ACT_ERRNO", "includes": {"minKernel": "new"}}),
        profile({"names": ["x"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 9, "value": 0, "op": "SCMP_CMP_EQ"}]}),
        profile({"names": ["x"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 0, "value": 0, "op": "EQ"}]}),
        profile({"names": ["x"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 0, "value": -1, "op": "SCMP_CMP_EQ"}]}),
        profile(
            {"names": ["x"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 0, "value": 1 << 64, "op": "SCMP_CMP_EQ"}]}
        ),
        profile({"names": ["x"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1 << 70}),
        profile(architectures=["SCMP_ARCH_X86"], archMap=[{"architecture": "SCMP_ARCH_X86_64"}]),
        profile(defaultAction="ALLOW"),
    ],
)
def test_a_profile_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="seccomp profile"):
        decide(options=(f"seccomp={text}",))


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=8)
    | st.sampled_from(("SCMP_ACT_ALLOW", "SCMP_CMP_EQ")),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ("defaultAction", "syscalls", "names", "action", "args", "index", "op", "includes", "caps", "x")
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(json_values)
@settings(max_examples=200, deadline=None)
def test_any_json_is_a_profile_or_refused(value: object) -> None:
    try:
        rights, _ = decide(options=("seccomp=" + json.dumps(value),))
    except BoxshipError:
        return
    assert rights.seccomp is None or msgspec.json.encode(rights.seccomp)


@given(st.lists(st.text(max_size=12), max_size=3), st.lists(st.text(max_size=12), max_size=3))
@settings(max_examples=100, deadline=None)
def test_any_words_are_understood_or_refused(options: list[str], names: list[str]) -> None:
    try:
        decide(options=tuple(options), add=tuple(names))
    except BoxshipError:
        return


# --- devices ---


def test_devices(tmp_path: Path) -> None:
    assert list(security.expand(DeviceMapping("/dev/null", "/dev/x", "r"))) == [
        DeviceMapping("/dev/null", "/dev/x", "r")
    ]
    (tmp_path / "link").symlink_to("/dev/zero")
    assert list(security.expand(DeviceMapping(str(tmp_path / "link"), "/dev/y"))) == [
        DeviceMapping("/dev/zero", "/dev/y")
    ]
    for missing in (str(tmp_path / "nothing"), "/dev/nothing-there"):
        with pytest.raises(Invalid, match=f'custom device "{missing}": no such file or directory'):
            list(security.expand(DeviceMapping(missing, "/dev/x")))
    (tmp_path / "file").touch()
    with pytest.raises(Invalid, match="not a device node"):
        list(security.expand(DeviceMapping(str(tmp_path / "file"), "/dev/x")))
    with pytest.raises(Invalid, match="not a device node"):
        list(security.expand(DeviceMapping(str(tmp_path), "/dev/x")))


def test_a_folder_of_devices(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    os.mknod(tmp_path / "deep" / "a", 0o20600, os.makedev(1, 3))
    os.mknod(tmp_path / "b", 0o20600, os.makedev(1, 5))
    (tmp_path / "c").touch()
    found = list(security.expand(DeviceMapping(str(tmp_path), "/dev/box", "rw")))
    assert [(node.container_path, node.permissions) for node in found] == [
        ("/dev/box/b", "rw"),
        ("/dev/box/deep/a", "rw"),
    ]
    assert [node.host_path for node in found] == [f"{tmp_path}/b", f"{tmp_path}/deep/a"]


def test_the_machines_own_devices() -> None:
    paths = {node.container_path for node in security.host_devices()}
    assert {"/dev/null", "/dev/zero"} <= paths
    assert not any(path.startswith(("/dev/pts/", "/dev/shm/", "/dev/mqueue/")) for path in paths)
