"""Writes /etc/hostname, /etc/hosts and /etc/resolv.conf, and mounts them into the container."""

from pathlib import Path

from boxship.engine.hooks import Draft, Pure, planned
from boxship.engine.model import Container
from boxship.engine.placing import is_shared
from boxship.spec.attachment import Attachment
from boxship.spec.mount import Mount


class HostFiles(Pure):
    async def apply(self, draft: Draft) -> Draft:
        container = draft.container
        if not is_shared(container.spec.network_mode):
            Path(container.hostname_path).write_text(draft.plan.hostname + "\n")
            write_network_files(container, draft.attachment)
        taken = {point.target for point in container.mounts}
        access = ("ro",) if container.spec.read_only_rootfs else ()
        files = {
            "/etc/resolv.conf": container.resolv_conf_path,
            "/etc/hostname": container.hostname_path,
            "/etc/hosts": container.hosts_path,
        }
        mounts = tuple(
            Mount("bind", path, target, ("bind", "rprivate", *access))
            for target, path in files.items()
            if target not in taken
        )
        return planned(draft, mounts=(*draft.plan.mounts, *mounts))


def write_network_files(container: Container, attachment: Attachment) -> None:
    """Write the texts in place: running containers have the files mounted, so their inodes must stay."""
    Path(container.hosts_path).write_text(attachment.hosts)
    Path(container.resolv_conf_path).write_text(attachment.resolv_conf)
