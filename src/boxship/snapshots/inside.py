"""Names inside a root that is mounted in our namespace: find what they stand for, make a folder. Links stay inside."""

import os
from pathlib import Path

from boxship.errors import Invalid
from boxship.sys.path import open_in_root, resolve_in_root


def locate(root: Path, path: str) -> str:
    """The machine's path of a file in a root that nobody changes. FileNotFoundError where it is missing. Blocks."""
    descriptor = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.close(open_in_root(descriptor, path, os.O_PATH))
        return f"{root}{resolve_in_root(descriptor, path)}".rstrip("/")
    finally:
        os.close(descriptor)


def make_folder(root: str, path: str, uid: int, gid: int) -> None:
    """A folder with its parents, for an owner; what is there stays as it is. Invalid where a file is in the way."""
    descriptor = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            os.close(open_in_root(descriptor, path, os.O_PATH | os.O_DIRECTORY))
            return
        except FileNotFoundError:
            pass
        done = ""
        for part in resolve_in_root(descriptor, path).split("/"):
            if not part:
                continue
            above = open_in_root(descriptor, done, os.O_PATH | os.O_DIRECTORY)
            try:
                os.mkdir(part, 0o755, dir_fd=above)
                os.chown(part, uid, gid, dir_fd=above, follow_symlinks=False)
            except FileExistsError:
                pass
            finally:
                os.close(above)
            done += "/" + part
    except OSError as error:
        raise Invalid(f"cannot make the working directory {path}: {error.strerror}") from error
    finally:
        os.close(descriptor)
