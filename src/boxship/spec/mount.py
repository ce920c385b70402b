"""A mount as a value: what snapshots and volumes return, and what the runtime puts into place."""

import msgspec


class Mount(msgspec.Struct, frozen=True, omit_defaults=True):
    """One mount(2) to be made. `kind` is the filesystem type ("bind", "tmpfs", "overlay", "proc", …), `source` and
    `target` are absolute paths, `options` are mount(8) words such as "ro", "rbind", "rprivate", "size=64k"."""

    kind: str
    source: str
    target: str
    options: tuple[str, ...] = ()
