"""Layers and writable roots on overlayfs: `Snapshots`; and the Docker archive API: `archive`.

`Snapshots` is imported when it is first asked for, because the child program comes through this file too, without
site-packages and in a hurry.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from boxship.snapshots.overlay import Snapshots as Snapshots


def __getattr__(name: str) -> object:
    if name != "Snapshots":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from boxship.snapshots.overlay import Snapshots

    return Snapshots
