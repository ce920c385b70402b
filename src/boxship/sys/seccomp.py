"""Compile a seccomp filter (the `linux.seccomp` object of the OCI runtime specification) to BPF, by libseccomp.

The runtime would do the same for each container that it creates, which takes 10 to 18 ms every time; here the result
can be kept. The rules are those of the object, no others; an architecture or an argument that libseccomp refuses is an
error, never a weaker filter. System calls that libseccomp does not know by name are left to the default action.
"""

import ctypes
import functools
import os
from typing import Any

from boxship.errors import Internal, Invalid

ACTIONS = {
    "SCMP_ACT_KILL": 0x00000000,
    "SCMP_ACT_KILL_THREAD": 0x00000000,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_ERRNO": 0x00050000,
    "SCMP_ACT_TRACE": 0x7FF00000,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_ALLOW": 0x7FFF0000,
}
OPERATORS = {
    "SCMP_CMP_NE": 1,
    "SCMP_CMP_LT": 2,
    "SCMP_CMP_LE": 3,
    "SCMP_CMP_EQ": 4,
    "SCMP_CMP_GE": 5,
    "SCMP_CMP_GT": 6,
    "SCMP_CMP_MASKED_EQ": 7,
}
_WITH_ERRNO = ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE")
_DEFAULT_ERRNO = 1  # EPERM, as the specification says
_OPTIMIZE, _BINARY_TREE = 8, 2  # attribute and value: a tree of comparisons instead of a list
_UNKNOWN_CALL = -1
_ALREADY_THERE = -17  # EEXIST: the architecture is the native one


class _Comparison(ctypes.Structure):
    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("first", ctypes.c_uint64),
        ("second", ctypes.c_uint64),
    )


@functools.cache
def _library() -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL("libseccomp.so.2")
    except OSError:
        return None
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_arch_resolve_name.restype = ctypes.c_uint32
    return library


def available() -> bool:
    """Whether filters can be compiled here."""
    return _library() is not None


def compile_filter(profile: dict[str, Any]) -> bytes:
    """The BPF program of an OCI seccomp object: an array of struct sock_filter.

    Takes 10 to 20 ms and holds no lock of the interpreter meanwhile: call it in a thread. Raises Invalid for an
    object that makes no sense.
    """
    library = _library()
    if library is None:
        raise Internal("cannot compile a seccomp filter: libseccomp is not installed")
    default = _action(profile.get("defaultAction", ""), profile.get("defaultErrnoRet"))
    context = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(default)))
    if not context.value:
        raise Internal("cannot compile a seccomp filter: libseccomp refused the default action")
    try:
        library.seccomp_attr_set(context, ctypes.c_int(_OPTIMIZE), ctypes.c_uint32(_BINARY_TREE))
        for name in profile.get("architectures", ()):
            token = library.seccomp_arch_resolve_name(name.removeprefix("SCMP_ARCH_").lower().encode())
            if token == 0:
                raise Invalid(f"cannot use the seccomp profile: unknown architecture {name}")
            _check(library.seccomp_arch_add(context, ctypes.c_uint32(token)), f"architecture {name}", _ALREADY_THERE)
        for rule in profile.get("syscalls", ()):
            _add_rule(library, context, rule, default)
        return _export(library, context)
    finally:
        library.seccomp_release(context)


def _action(name: str, errno_value: int | None) -> int:
    if name not in ACTIONS:
        raise Invalid(f"cannot use the seccomp profile: unknown action {name!r}")
    number = _DEFAULT_ERRNO if errno_value is None else errno_value
    return ACTIONS[name] | (number & 0xFFFF if name in _WITH_ERRNO else 0)


def _add_rule(library: ctypes.CDLL, context: ctypes.c_void_p, rule: dict[str, Any], default: int) -> None:
    action = _action(rule["action"], rule.get("errnoRet"))
    if action == default:
        return  # libseccomp refuses rules that change nothing
    arguments = rule.get("args") or ()
    for argument in arguments:
        if argument.get("op") not in OPERATORS:
            raise Invalid(f"cannot use the seccomp profile: unknown operator {argument.get('op')!r}")
    comparisons = [
        _Comparison(each["index"], OPERATORS[each["op"]], each["value"], each.get("valueTwo", 0)) for each in arguments
    ]
    # Several comparisons of one argument mean "any of them" (as in runc); libseccomp takes each argument once a rule.
    repeated = len({each.argument for each in comparisons}) < len(comparisons)
    groups = [[each] for each in comparisons] if repeated else [comparisons]
    for name in rule.get("names", ()):
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number == _UNKNOWN_CALL:
            continue
        for group in groups:
            array = (_Comparison * max(1, len(group)))(*group)
            result = library.seccomp_rule_add_array(
                context, ctypes.c_uint32(action), ctypes.c_int(number), ctypes.c_uint(len(group)), array
            )
            _check(result, f"system call {name}", _ALREADY_THERE)


def _check(result: int, subject: str, *accepted: int) -> None:
    if result < 0 and result not in accepted:
        raise Invalid(f"cannot use the seccomp profile: {subject}: {os.strerror(-result)}")


def _export(library: ctypes.CDLL, context: ctypes.c_void_p) -> bytes:
    descriptor = os.memfd_create("seccomp", os.MFD_CLOEXEC)
    try:
        _check(library.seccomp_export_bpf(context, ctypes.c_int(descriptor)), "export")
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0)
    finally:
        os.close(descriptor)
