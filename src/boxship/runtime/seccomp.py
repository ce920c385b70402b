"""Seccomp profiles: Docker's format in, the OCI runtime's object out. Pure, but for reading our own data file.

A profile's rules may depend on the container's capabilities, the machine's architecture and the kernel's version
(`includes`, `excludes`); they are resolved here, so that what the runtime gets holds plain rules only. The default
profile lies in data/seccomp.json: it allows what Docker's default allows, under the same conditions.
"""

import errno
import functools
import re
from collections.abc import Collection
from importlib import resources
from typing import Any

import msgspec

from boxship.errors import Invalid
from boxship.runtime.host import kernel_version
from boxship.sys.seccomp import ACTIONS, OPERATORS

PROFILE_LIMIT = 1 << 20  # bytes
ERRNO_LIMIT = 4095  # the largest error that the kernel can hand back
_VERSION = re.compile(r"\d{1,6}\.\d{1,6}")
# uname's machine → the profile format's name and libseccomp's
MACHINES = {
    "x86_64": ("amd64", "SCMP_ARCH_X86_64"),
    "i686": ("x86", "SCMP_ARCH_X86"),
    "aarch64": ("arm64", "SCMP_ARCH_AARCH64"),
    "armv7l": ("arm", "SCMP_ARCH_ARM"),
    "ppc64le": ("ppc64le", "SCMP_ARCH_PPC64LE"),
    "s390x": ("s390x", "SCMP_ARCH_S390X"),
    "riscv64": ("riscv64", "SCMP_ARCH_RISCV64"),
}


class Condition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When a rule holds, or does not."""

    caps: tuple[str, ...] | None = None
    arches: tuple[str, ...] | None = None
    minKernel: str = ""


class Argument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A comparison with one argument of the system call."""

    index: int
    op: str
    value: int = 0
    valueTwo: int = 0


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What happens at some system calls. Old profiles have one `name` a rule."""

    action: str
    names: tuple[str, ...] | None = None
    name: str = ""
    args: tuple[Argument, ...] | None = None
    errnoRet: int | None = None
    errno: str = ""  # the error's name, which Podman's profiles have beside its number
    comment: str = ""
    includes: Condition | None = None
    excludes: Condition | None = None


class ArchitectureMap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An architecture with those whose programs it runs too."""

    architecture: str
    subArchitectures: tuple[str, ...] | None = None


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A profile file as Docker takes it. Unknown fields are refused: no rule may hold less than it says."""

    defaultAction: str
    defaultErrnoRet: int | None = None
    defaultErrno: str = ""
    architectures: tuple[str, ...] | None = None
    archMap: tuple[ArchitectureMap, ...] | None = None
    syscalls: tuple[Rule, ...] | None = None
    flags: tuple[str, ...] | None = None


@functools.cache
def default_profile() -> Profile:
    """Our own."""
    data = resources.files("boxship.runtime").joinpath("data/seccomp.json").read_bytes()
    return msgspec.json.decode(data, type=Profile)


def parse_profile(text: str | bytes) -> Profile:
    """A profile that a user gave as JSON. Raises Invalid."""
    if len(text) > PROFILE_LIMIT:
        raise Invalid(f"cannot use the seccomp profile: it is larger than {PROFILE_LIMIT} bytes")
    try:
        profile = msgspec.json.decode(text, type=Profile)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise Invalid(f"Decoding seccomp profile failed: {error}") from None
    if profile.architectures and profile.archMap:
        raise Invalid("both 'architectures' and 'archMap' are specified in the seccomp profile, use either one")
    for action in (profile.defaultAction, *(rule.action for rule in profile.syscalls or ())):
        if action not in ACTIONS:
            raise Invalid(f"cannot use the seccomp profile: unknown action {action!r}")
    for rule in profile.syscalls or ():
        if rule.name and rule.names:
            raise Invalid("both 'name' and 'names' are specified in the seccomp profile, use either one")
        if not rule.name and not rule.names:
            raise Invalid("cannot use the seccomp profile: a rule names no system call")
        for condition in (rule.includes, rule.excludes):
            if condition is not None and condition.minKernel and not _VERSION.fullmatch(condition.minKernel):
                raise Invalid(f"cannot use the seccomp profile: invalid kernel version {condition.minKernel!r}")
        for argument in rule.args or ():
            fits = 0 <= argument.value < 1 << 64 and 0 <= argument.valueTwo < 1 << 64 and 0 <= argument.index <= 5
            if argument.op not in OPERATORS or not fits:
                raise Invalid(f"cannot use the seccomp profile: bad argument rule of {rule.names or rule.name}")
    return profile


def resolve(profile: Profile, capabilities: Collection[str], machine: str, kernel: tuple[int, int]) -> dict[str, Any]:
    """The OCI object for a container with these capabilities on this machine."""
    short, native = MACHINES.get(machine, (machine, ""))
    architectures = list(profile.architectures or ())
    for entry in profile.archMap or ():
        if entry.architecture == native:
            architectures = [native, *(entry.subArchitectures or ())]
    rules = []
    for rule in profile.syscalls or ():
        if rule.includes is not None and not _all_hold(rule.includes, capabilities, short, kernel):
            continue
        if rule.excludes is not None and _any_holds(rule.excludes, capabilities, short, kernel):
            continue
        rules.append(_rule(rule))
    found: dict[str, Any] = {"defaultAction": profile.defaultAction, "architectures": architectures, "syscalls": rules}
    number = _number(profile.defaultErrnoRet, profile.defaultErrno)
    if number is not None:
        found["defaultErrnoRet"] = number
    if profile.flags:
        found["flags"] = list(profile.flags)
    return found


def _rule(rule: Rule) -> dict[str, Any]:
    found: dict[str, Any] = {"names": list(rule.names or (rule.name,)), "action": rule.action}
    if rule.args:
        found["args"] = [msgspec.to_builtins(argument) for argument in rule.args]
    number = _number(rule.errnoRet, rule.errno)
    if number is not None:
        found["errnoRet"] = number
    return found


def _number(number: int | None, name: str) -> int | None:
    if number is not None and not 0 <= number <= ERRNO_LIMIT:
        raise Invalid(f"cannot use the seccomp profile: there is no error {number}")
    if number is not None or not name:
        return number
    value: object = getattr(errno, name, None)
    if not isinstance(value, int):
        raise Invalid(f"cannot use the seccomp profile: unknown error {name!r}")
    return value


def _all_hold(asked: Condition, capabilities: Collection[str], machine: str, kernel: tuple[int, int]) -> bool:
    if asked.arches and machine not in asked.arches:
        return False
    if any(capability not in capabilities for capability in asked.caps or ()):
        return False
    return not asked.minKernel or kernel >= kernel_version(asked.minKernel)


def _any_holds(asked: Condition, capabilities: Collection[str], machine: str, kernel: tuple[int, int]) -> bool:
    if asked.arches and machine in asked.arches:
        return True
    if any(capability in capabilities for capability in asked.caps or ()):
        return True
    return bool(asked.minKernel) and kernel >= kernel_version(asked.minKernel)
