"""Work on a volume's files by programs of their own, so that the daemon's loop and interpreter stay free."""

import json
import marshal
import os
import shutil
import sys
from pathlib import Path

from boxship.errors import Exhausted, Internal
from boxship.sys.spawn import SAFE_ENVIRONMENT, reap, run, spawn

_COPY_PROGRAM = str(Path(__file__).parent / "copy_child.py")
_TIMEOUT = 3600.0  # seconds, for the largest image content


async def copy_tree(rootfs: Path, source: str, target: Path) -> bool:
    """Copy the folder that `source` names inside `rootfs` into `target`; False where there is no such folder."""
    job = marshal.dumps({"root": str(rootfs), "source": source, "target": str(target)})
    done = await run([sys.executable, "-I", "-S", "-X", "utf8", _COPY_PROGRAM], stdin=job, timeout=_TIMEOUT)
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        said = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise Internal(f"cannot copy {source} into {target}: {said or done.returncode}") from None
    if "error" in answer:
        kind = Exhausted if answer["full"] else Internal
        raise kind(f"cannot copy {source} into {target}: {answer['error']}")
    return bool(answer["copied"])


async def measure(path: Path) -> int:
    """Bytes on the device under a folder; other filesystems in it do not count."""
    done = await run(["du", "-sx", "--block-size=1", "--", str(path)], timeout=_TIMEOUT)
    number = done.stdout.split(b"\t", 1)[0]
    if not number.isdigit():
        raise Internal(f"cannot measure {path}: {done.stderr.decode('utf-8', 'replace').strip()}")
    return int(number)


def remove_tree(path: Path) -> None:
    """Delete a discarded folder; blocks. What resists stays, and the next recovery tries again."""
    try:
        os.rmdir(path / "_data")
        shutil.rmtree(path)
    except OSError:
        reap(spawn(["rm", "-rf", "--one-file-system", "--", str(path)], env=SAFE_ENVIRONMENT))
