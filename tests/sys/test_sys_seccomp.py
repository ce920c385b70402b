"""Filters compiled by libseccomp: loaded into a real process they do what the profile says."""

import errno
import os
import struct
import sys

import pytest

from boxship.errors import Invalid
from boxship.sys.seccomp import available, compile_filter

pytestmark = pytest.mark.skipif(not available(), reason="libseccomp is not installed")

ALLOW, ERRNO = "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"

CHILD = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
class Program(ctypes.Structure):
    _fields_ = [("count", ctypes.c_ushort), ("filter", ctypes.c_char_p)]
text = bytes.fromhex(sys.argv[1])
program = Program(len(text) // 8, text)
libc.prctl(38, 1, 0, 0, 0)
assert libc.prctl(22, 2, ctypes.byref(program), 0, 0) == 0
def unshare(flags):
    if libc.unshare(flags):
        raise OSError(ctypes.get_errno(), "")
for expression in sys.argv[2:]:
    try:
        eval(expression)
        print("ok")
    except OSError as error:
        print(error.errno)
"""


def answers(profile: dict[str, object], *expressions: str) -> list[str]:
    read, write = os.pipe()
    argv = [sys.executable, "-S", "-c", CHILD, compile_filter(profile).hex(), *expressions]
    pid = os.posix_spawn(sys.executable, argv, dict(os.environ), file_actions=[(os.POSIX_SPAWN_DUP2, write, 1)])
    os.close(write)
    with os.fdopen(read) as out:
        lines = out.read().split()
    assert os.waitpid(pid, 0)[1] == 0
    return lines


def test_a_program_is_an_array_of_instructions() -> None:
    text = compile_filter({"defaultAction": ALLOW, "syscalls": [{"names": ["mkdir"], "action": ERRNO}]})
    assert len(text) % 8 == 0
    assert struct.unpack("HBBI", text[:8])[0] == 0x20, "the first instruction loads the architecture"


def test_rules_hold() -> None:
    profile = {
        "defaultAction": ALLOW,
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]
        if os.uname().machine == "x86_64"
        else [],
        "syscalls": [
            {"names": ["mkdir", "mkdirat", "no_such_call"], "action": ERRNO, "errnoRet": errno.ENOSPC},
            {"names": ["sync"], "action": ERRNO},
            {
                "names": ["kill"],
                "action": ERRNO,
                "errnoRet": errno.EBUSY,
                "args": [{"index": 1, "value": 0, "op": "SCMP_CMP_EQ"}],
            },
            {
                "names": ["getpriority"],
                "action": ERRNO,
                "args": [
                    {"index": 1, "value": 5, "op": "SCMP_CMP_EQ"},
                    {"index": 1, "value": 6, "op": "SCMP_CMP_EQ"},
                ],
            },
        ],
    }
    found = answers(
        profile,
        "os.mkdir('/tmp/boxship-never')",
        "os.kill(os.getpid(), 0)",
        "os.kill(os.getpid(), 18)",
        "os.getpriority(0, 5)",
        "os.getpriority(0, 6)",
        "os.getpriority(0, 0)",
        "os.stat('/')",
    )
    assert found == ["28", "16", "ok", "1", "1", "ok", "ok"]


def test_masked_comparison() -> None:
    comparison = {"index": 0, "value": 0x200, "valueTwo": 0x200, "op": "SCMP_CMP_MASKED_EQ"}
    rule = {"names": ["unshare"], "action": ERRNO, "errnoRet": 77, "args": [comparison]}
    profile = {"defaultAction": ALLOW, "syscalls": [rule]}
    assert answers(profile, "unshare(0x200)", "unshare(0x400)", "unshare(0x600)") == ["77", "ok", "77"]


@pytest.mark.parametrize(
    ("profile", "message"),
    [
        ({"defaultAction": "SCMP_ACT_DANCE"}, "unknown action 'SCMP_ACT_DANCE'"),
        ({"defaultAction": ALLOW, "architectures": ["SCMP_ARCH_PDP11"]}, "unknown architecture"),
        (
            {
                "defaultAction": ALLOW,
                "syscalls": [
                    {"names": ["kill"], "action": ERRNO, "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_ODD"}]}
                ],
            },
            "unknown operator",
        ),
    ],
)
def test_nonsense_is_refused(profile: dict[str, object], message: str) -> None:
    with pytest.raises(Invalid, match=message):
        compile_filter(profile)


def test_nothing_is_kept_between_calls() -> None:
    before = set(os.listdir("/proc/self/fd"))
    for _ in range(5):
        compile_filter({"defaultAction": ERRNO, "syscalls": [{"names": ["read"], "action": ALLOW}]})
    assert set(os.listdir("/proc/self/fd")) <= before
