"""As whom the kernel sees a thread: at files as another owner with all of our rights still, or as another user.

The kernel's ids belong to a thread alone; nothing here may be called in a thread that others use again. It
imports the standard library alone, because child programs use it without site-packages.
"""

import ctypes
import os

from boxship.sys.path import call, libc

_CAPGET, _CAPSET = {"x86_64": (125, 126)}.get(os.uname().machine, (90, 91))  # 90, 91: all newer processors
_SETRESUID, _SETRESGID = {"x86_64": (117, 119)}.get(os.uname().machine, (147, 149))
_CLONE_NEWUSER = 0x10000000
_VERSION = 0x20080522  # of the structures below: two words of 32 capabilities


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Rights(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint32) for name in ("effective", "permitted", "inheritable"))


def become_owner(identity: int) -> None:
    """Files that this thread makes belong to that user and group from now on; it may do what it could before. OSError
    where the kernel refuses."""
    header, rights = _Header(_VERSION, 0), (_Rights * 2)()
    call(_CAPGET, ctypes.byref(header), rights)
    for change in (libc.setfsgid, libc.setfsuid):  # the second one takes rights over files away
        change(ctypes.c_uint(identity))
        if change(ctypes.c_uint(identity)) != identity:
            raise PermissionError(1, "Operation not permitted")
    for word in rights:
        word.effective = word.permitted
    call(_CAPSET, ctypes.byref(header), rights)


def join_users(path: str) -> None:
    """This process, which has one thread, is root in the user namespace at `path` from now on, and nobody elsewhere: it
    sees ids as they are in there. OSError where the kernel refuses."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.setns(ctypes.c_int(descriptor), ctypes.c_int(_CLONE_NEWUSER)) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
    finally:
        os.close(descriptor)
    os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)


def become_user(identity: int) -> None:
    """This thread is that user and group from now on, and has none of our rights. OSError where the kernel refuses."""
    same = ctypes.c_uint(0xFFFFFFFF)
    for number in (_SETRESGID, _SETRESUID):  # the C library's own would change all threads
        call(number, same, ctypes.c_uint(identity), same)
