"""Where the engine keeps its own files under the data root and the run root."""

from pathlib import Path

import msgspec


class Places(msgspec.Struct, frozen=True):
    """`data` survives a reboot (logs, hosts files), `run` does not (bundles, sockets)."""

    data: Path
    run: Path

    def container(self, container_id: str) -> Path:
        """The folder of a container's log and of the files that are mounted into it."""
        return self.data / "containers" / container_id

    def bundle(self, container_id: str) -> Path:
        """The folder that the OCI runtime reads config.json from."""
        return self.run / "bundles" / container_id

    def pod(self, uid: str) -> Path:
        """The folder of the files that all containers of a pod have."""
        return self.data / "pods" / "sandboxes" / uid

    def pod_namespace(self, pod_id: str, kind: str) -> Path:
        """Where a namespace of a pod is kept."""
        return self.run / "pods" / f"{pod_id}.{kind}"

    def mapped(self, container_id: str) -> Path:
        """Where the mounts of a container with users of its own are shown to it."""
        return self.run / "mapped" / container_id

    def shown_image(self, image_id: str, uid: str = "") -> Path:
        """Where the files of an image are shown to pods, or to one with users of its own."""
        name = image_id.removeprefix("sha256:")
        return self.run / "images" / (f"{name}.{uid}" if uid else name)

    def shared_memory(self, container_id: str) -> Path:
        """Where the /dev/shm of a container is mounted that others may join."""
        return self.run / "shm" / container_id
