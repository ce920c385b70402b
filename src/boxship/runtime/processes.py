"""What is done to, and shown of, the processes of a running container."""

import contextlib
import os
import re
from collections.abc import Collection, Sequence

from boxship.errors import Invalid
from boxship.runtime.limits import Write
from boxship.sys import cgroup
from boxship.sys.cgroup import Layout
from boxship.sys.spawn import run

PS_SECONDS = 10.0
PS_OUTPUT = 8 << 20  # bytes
_RENAMED_PID = re.compile(r"\s+(\w+)*?\s*=\s*(PID\w*)")


async def top(pids: Collection[int], ps_args: str) -> tuple[list[str], list[list[str]]]:
    """Titles and rows of `ps ARGS` on the host, for these processes alone. Raises Invalid for arguments without pid."""
    if renamed := _RENAMED_PID.search(f" {ps_args}"):
        raise Invalid(f'specifying "{renamed.group(1) or ""}={renamed.group(2)}" is not allowed')
    done = await run(["ps", *(ps_args or "-ef").split()], timeout=PS_SECONDS, limit=PS_OUTPUT)
    if done.returncode != 0:
        raise Invalid(f"ps: {done.stderr.decode(errors='replace').strip().splitlines()[0]}")
    return select_rows(done.stdout.decode(errors="replace"), pids)


def select_rows(text: str, pids: Collection[int]) -> tuple[list[str], list[list[str]]]:
    """The rows of ps output whose PID column is in `pids`; the last column may hold spaces. Pure."""
    lines = text.splitlines()
    titles = lines[0].split() if lines else []
    if "PID" not in titles:
        raise Invalid("Couldn't find PID field in ps output")
    column, count = titles.index("PID"), len(titles)
    rows = []
    for line in lines[1:]:
        fields = line.split(maxsplit=count - 1)
        if len(fields) > column and fields[column].isdigit() and int(fields[column]) in pids:
            rows.append(fields)
    return titles, rows


def apply_limits(layout: Layout, path: str, wanted: Sequence[Write]) -> None:
    """Write control files in order; where the kernel refuses one, the former ones get their old values back.

    Raises Invalid with the kernel's reason.
    """
    done: list[tuple[Write, str]] = []
    for write in wanted:
        if write.otherwise and not os.path.exists(cgroup.file_of(layout, write.controller, path, write.file)):
            write = write.otherwise
        before = cgroup.read(layout, write.controller, path, write.file).strip()
        try:
            cgroup.write(layout, write.controller, path, write.file, write.value)
        except OSError as error:
            for earlier, text in reversed(done):
                for line in text.splitlines():  # the kernel takes one device's line at a time
                    with contextlib.suppress(OSError):
                        cgroup.write(layout, earlier.controller, path, earlier.file, line)
            raise Invalid(f"cannot set {write.file} to {write.value}: {error.strerror}") from error
        done.append((write, before))
