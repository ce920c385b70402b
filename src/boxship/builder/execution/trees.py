"""Trees as the child program takes them."""

from pathlib import Path
from typing import Any

from boxship.builder.operations import FolderTree, LayerTree, Selection, Tree
from boxship.snapshots.making import Draft
from boxship.snapshots.overlay import Snapshots

PROGRAM = str(Path(__file__).parent / "child" / "__main__.py")


class Trees:
    """Describes trees for jobs. `folder` holds places to mount at; every child mounts in a namespace of its own, so all
    of them use the same."""

    def __init__(self, folder: Path, snapshots: Snapshots) -> None:
        self._folder = folder
        self._snapshots = snapshots

    def describe(self, tree: Tree, number: int = 0) -> dict[str, Any]:
        """A tree that is read; `number` tells the trees of one job apart."""
        if isinstance(tree, FolderTree):
            return {"folder": str(tree.path), "origin": tree.origin, "ignore": list(tree.patterns)}
        return {
            "layers": self.layers(tree),
            "view": str(self.place(f"view{number}")),
            "origin": "image or stage that is copied from",
        }

    def layers(self, tree: LayerTree) -> list[str]:
        """The folders of an overlay that only reads, topmost first: at least two."""
        folders = self._snapshots.folders(tree.chain_id)
        return folders if len(folders) > 1 else [*folders, str(self.place("nothing"))]

    def place(self, name: str) -> Path:
        """An empty folder."""
        path = self._folder / name
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        return path

    def root(self, draft: Draft, *, bare: bool = False) -> dict[str, Any]:
        """The root that is written: a draft on its parent, or with `bare` on nothing."""
        lower = [] if bare or draft.parent is None else self._snapshots.folders(draft.parent)
        return {
            "lower": lower,
            "chain": lower,
            "upper": str(draft.upper),
            "work": str(draft.folder / "work"),
            "merged": str(self.place("merged")),
        }


def plain_selection(selection: Selection) -> dict[str, Any]:
    """A selection as a job carries it."""
    return {
        "paths": list(selection.paths),
        "exclude": list(selection.exclude),
        "follow": selection.follow,
        "wildcards": selection.wildcards,
    }
