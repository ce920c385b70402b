"""Volumes that one pod at a time may have (ReadWriteOncePod). The scheduler sees to that, but not for pods that name
their node.

Who has one is written in the pod's own folder: so it is known after a kill too, when the pods ask again in any order,
and it is forgotten with the folder, never before what is mounted there is gone. Blocking: for a thread.
"""

from collections.abc import Mapping
from pathlib import Path

from boxship.cluster.objects import Object

MARKS = "alone"  # the folder of a pod's marks, one by the uid of each such volume


def is_alone(volume: Object) -> bool:
    """Whether one pod at a time may have this persistent volume. Pure."""
    return "ReadWriteOncePod" in (volume["spec"].get("accessModes") or ())


def take(root: Path, pod: str, wanted: Mapping[str, str]) -> str:
    """All of them are that pod's from now on, and the answer is "". Or none is: the answer is the name of one that
    another pod has. `wanted`: the pod's names for volumes by their uids. One call at a time."""
    others = [folder / MARKS for folder in root.iterdir() if folder.name != pod] if root.is_dir() else []
    for volume, name in wanted.items():
        if any((marks / volume).exists() for marks in others):
            return name
    for volume in wanted:
        own = root / pod / MARKS
        own.mkdir(mode=0o750, parents=True, exist_ok=True)
        (own / volume).touch()
    return ""
