"""Overlay mounts of up to 500 layers, attached or not.

Where the kernel has it, the new mount interface takes one layer after the other, so that no page of options limits
them; older kernels get mount(2) with layers named by descriptor numbers. It must never leave a mount behind that it
reported as failed. It imports the standard library alone, because child programs use it without site-packages.
"""

import contextlib
import ctypes
import functools
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence

from boxship.errors import Internal, Invalid
from boxship.sys.identity import become_owner
from boxship.sys.path import call, libc, unshare

MAXIMUM_LAYERS = 500  # overlayfs refuses one more

_MOVE_MOUNT, _FSOPEN, _FSCONFIG, _FSMOUNT = 429, 430, 431, 432
_CLOSE_ON_EXEC = 1  # FSOPEN_CLOEXEC, FSMOUNT_CLOEXEC
_SET_FLAG, _SET_STRING, _CREATE = 0, 1, 6  # commands of fsconfig
_STRING_LIMIT = 255  # of one fsconfig value, in bytes
_AT_FDCWD, _MOVE_FROM_EMPTY, _MOVE_TO_SYMLINKS, _MOVE_TO_EMPTY = -100, 0x04, 0x10, 0x40
_CLONE_FS, _MS_RDONLY = 0x200, 1


def attach(tree: int, target: str | int) -> None:
    """Put a detached mount at `target` (a path, symlinks followed, or an open file). OSError where it fails."""
    folder, path, flags = (
        (_AT_FDCWD, target, _MOVE_TO_SYMLINKS) if isinstance(target, str) else (target, "", _MOVE_TO_EMPTY)
    )
    call(
        _MOVE_MOUNT,
        ctypes.c_int(tree),
        ctypes.c_char_p(b""),
        ctypes.c_int(folder),
        ctypes.c_char_p(os.fsencode(path)),
        ctypes.c_uint(flags | _MOVE_FROM_EMPTY),
    )


def _configure(context: int, command: int, key: str | None = None, value: str | None = None) -> None:
    """fsconfig(2)."""
    call(
        _FSCONFIG,
        ctypes.c_int(context),
        ctypes.c_uint(command),
        ctypes.c_char_p(None if key is None else key.encode()),
        ctypes.c_char_p(None if value is None else os.fsencode(value)),
        ctypes.c_int(0),
    )


@functools.cache
def has_layer_options() -> bool:
    """Whether the kernel takes overlay layers one by one ("lowerdir+", Linux 6.7).

    Up to Linux 6.4 overlayfs looks at options only when it mounts, and so takes any: a nonsense one too.
    """
    return _takes_option("lowerdir+", "/") and not _takes_option("boxship-no-such-option", "/")


def _takes_option(key: str, value: str) -> bool:
    try:
        context = call(_FSOPEN, ctypes.c_char_p(b"overlay"), ctypes.c_uint(_CLOSE_ON_EXEC))
    except OSError:
        return False
    try:
        _configure(context, _SET_STRING, key, value)
        return True
    except OSError:
        return False
    finally:
        os.close(context)


@contextlib.contextmanager
def _short_path(path: str) -> Iterator[str]:
    """The path, or a short name of the same folder where it is too long for one fsconfig value."""
    if len(os.fsencode(path)) <= _STRING_LIMIT:
        yield path
        return
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def open_overlay(
    lower: Sequence[str], upper: str | None, work: str | None, *, read_only: bool, options: Iterable[str] = ()
) -> int:
    """A detached overlay mount as a descriptor; it ends when that is closed, unless `attach` gave it a place.

    OSError where the kernel refuses.
    """
    context = call(_FSOPEN, ctypes.c_char_p(b"overlay"), ctypes.c_uint(_CLOSE_ON_EXEC))
    try:
        _configure(context, _SET_STRING, "source", "overlay")
        for layer in lower:
            with _short_path(layer) as path:
                _configure(context, _SET_STRING, "lowerdir+", path)
        for key, folder in (("upperdir", upper), ("workdir", work)):
            if folder is not None:
                with _short_path(folder) as path:
                    _configure(context, _SET_STRING, key, path.replace("\\", "\\\\"))
        for word in options:
            key, equals, value = word.partition("=")
            _configure(context, _SET_STRING if equals else _SET_FLAG, key, value if equals else None)
        if read_only:
            _configure(context, _SET_FLAG, "ro")
        _configure(context, _CREATE)
        return call(_FSMOUNT, ctypes.c_int(context), ctypes.c_uint(_CLOSE_ON_EXEC), ctypes.c_uint(int(read_only)))
    finally:
        os.close(context)


def overlay(
    lower: Sequence[str | os.PathLike[str]],
    upper: str | os.PathLike[str] | None,
    work: str | os.PathLike[str] | None,
    target: str | os.PathLike[str],
    *,
    read_only: bool = False,
    options: Iterable[str] = (),
    by_layer: bool | None = None,
    owner: int = 0,
) -> None:
    """Mount an overlay of at most 500 lower layers, the topmost first. Without `upper` it can only be read.

    `by_layer` False forces mount(2), which older kernels need. `owner` is who overlayfs works as: where `upper` shows
    ids otherwise than the disk has them, one that has a meaning there. Internal where it fails.
    """
    layers = [os.fspath(layer) for layer in lower]
    if len(layers) > MAXIMUM_LAYERS:
        raise Invalid(f"cannot mount {os.fspath(target)}: {len(layers)} layers, at most {MAXIMUM_LAYERS}")
    folders = (None if upper is None else os.fspath(upper), None if work is None else os.fspath(work))
    try:
        if not (has_layer_options() if by_layer is None else by_layer):
            _overlay_by_options(layers, folders, os.fspath(target), read_only, options, owner)
            return

        def make() -> None:
            tree = open_overlay(layers, *folders, read_only=read_only, options=options)
            try:
                attach(tree, os.fspath(target))
            finally:
                os.close(tree)

        if owner:
            _in_thread(make, owner)
        else:
            make()
    except OSError as error:
        raise Internal(f"cannot mount overlay on {os.fspath(target)}: {error.strerror}") from error


def _overlay_by_options(
    layers: Sequence[str],
    folders: tuple[str | None, str | None],
    target: str,
    read_only: bool,
    options: Iterable[str],
    owner: int = 0,
) -> None:
    """Mount by mount(2), whose options fit one page: layers are named by descriptor numbers, relative to
    /proc/thread-self/fd, in a thread with a working folder of its own."""
    opened: list[int] = []
    target = os.path.abspath(target)

    def name(path: str) -> str:
        opened.append(os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
        return str(opened[-1])

    def work() -> None:
        unshare(_CLONE_FS)
        words = [f"lowerdir={':'.join([name(layer) for layer in layers])}", *options]
        words += [f"{key}={name(path)}" for key, path in zip(("upperdir", "workdir"), folders, strict=True) if path]
        os.chdir("/proc/thread-self/fd")
        flags = ctypes.c_ulong(_MS_RDONLY if read_only else 0)
        if libc.mount(b"overlay", os.fsencode(target), b"overlay", flags, ",".join(words).encode()) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    try:
        _in_thread(work, owner)
    finally:
        for descriptor in opened:
            os.close(descriptor)


def _in_thread(work: Callable[[], None], owner: int) -> None:
    """Run it in a thread of its own, which is `owner` at files (0: root). Raises its OSError."""
    failed: list[OSError] = []

    def body() -> None:
        try:
            if owner:
                become_owner(owner)
            work()
        except OSError as error:
            failed.append(error)

    thread = threading.Thread(target=body, name="overlay mount")
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
