"""What a machine that is a node must not forget: which cluster, as what, and its block of pod addresses. One private
file in the data root, replaced in one step; no file: no node."""

import shutil
from pathlib import Path

import msgspec

from boxship.errors import Internal, Invalid
from boxship.pki.files import sync_folder, write_file


class NodeRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`authority` is the cluster's, PEM. `address` is the node's own, "" where only the way to the server says it;
    `pod_cidr` "" until the cluster has given one; `pods`, `services`, `dns` and `domain` are the whole cluster's."""

    server: str
    authority: str
    node: str
    address: str = ""
    labels: dict[str, str] = {}
    taints: tuple[str, ...] = ()
    certificate_seconds: int = 0
    pod_cidr: str = ""
    pods: tuple[str, ...] = ("10.244.0.0/16",)
    services: tuple[str, ...] = ("10.96.0.0/16",)
    dns: str = "10.96.0.10"
    domain: str = "cluster.local"


class RecordFile:
    """DATA/node/node.json."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path = folder / "node.json"

    def read(self) -> NodeRecord | None:
        """None where this machine is no node. Raises Internal where the file cannot be read."""
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=NodeRecord)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError) as error:
            raise Internal(f"cannot read {self._path}: {error}") from error

    def write(self, record: NodeRecord) -> None:
        """Durable when this returns. Blocks for a few milliseconds."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_file(self._path, msgspec.json.encode(record))

    def forget(self) -> None:
        """With everything beside it: certificates too."""
        if self.folder.exists():
            self._path.unlink(missing_ok=True)
            sync_folder(self.folder)
            shutil.rmtree(self.folder)


def taint_of(text: str) -> dict[str, str]:
    """Of "key[=value]:effect". Raises Invalid."""
    place, separator, effect = text.rpartition(":")
    key, _, value = place.partition("=")
    if not separator or not key or effect not in ("NoSchedule", "PreferNoSchedule", "NoExecute"):
        raise Invalid(f"cannot use taint {text}: write key[=value]:NoSchedule, PreferNoSchedule or NoExecute")
    return {"key": key, "effect": effect, **({"value": value} if value else {})}
