"""Writes /etc/hostname, /etc/hosts and /etc/resolv.conf, and mounts them into the container."""

from pathlib import Path

from boxship.engine.hooks import Draft, Pure, planned
from boxship.spec.mount import Mount


class HostFiles(Pure):
    async def apply(self, draft: Draft) -> Draft:
        container = draft.container
        if not container.spec.network_mode.startswith("container:"):
            texts = {
                container.hostname_path: draft.plan.hostname + "\n",
                container.hosts_path: draft.attachment.hosts,
                container.resolv_conf_path: draft.attachment.resolv_conf,
            }
            for path, text in texts.items():
                Path(path).write_text(text)
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
