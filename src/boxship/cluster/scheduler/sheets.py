"""Pods that are alike are decided together: what the rules about single nodes say of a shape is kept, and asked again
only for the nodes where something changed since. Each pod that is placed changes one.
"""

from collections.abc import Hashable, Sequence

from boxship.cluster.scheduler.stages import Filter, LocalScore, Score, Task
from boxship.cluster.scheduler.vectors import ALL, Vector

SHARE = 16  # with more than every so many'th node changed, all are asked again


class Sheet:
    """For one shape and one profile. `passed`: places that pass all local rules; `total`: the sum of local ratings.
    `others`: the ratings that are not."""

    def __init__(self, filters: Sequence[Filter], scores: Sequence[tuple[Score, int]]) -> None:
        self._filters = [each for each in filters if each.local]
        self._scores = [(each, weight) for each, weight in scores if isinstance(each, LocalScore)]
        self.others = [(each, weight) for each, weight in scores if not isinstance(each, LocalScore)]
        self._seen: tuple[int, int, int] = (-1, -1, -1)  # moves of pods, changes of nodes, size
        self.passed: Vector = None
        self.total: Vector = None

    def refresh(self, task: Task) -> "Sheet":
        """As the snapshot is now."""
        world = task.world
        changed = world.changed_since(self._seen)
        if changed is None or len(changed) * SHARE > world.size:
            self.passed, self.total = self._passed(task, ALL), self._total(task, ALL)
        else:
            for place in changed:
                row = slice(place, place + 1)
                self.passed[row] = self._passed(task, row)
                self.total[row] = self._total(task, row)
        self._seen = world.seen
        return self

    def _passed(self, task: Task, rows: slice) -> Vector:
        found = task.world.present[rows]
        for plugin in self._filters:
            mask = plugin.check(task, rows)
            if mask is not None:
                found = found & mask
        return found

    def _total(self, task: Task, rows: slice) -> Vector:
        total = task.kernel.full(len(task.world.present[rows]), 0)
        for plugin, weight in self._scores:
            rating = plugin.rate_rows(task, rows)
            if rating is not None:
                total = total + rating * weight
        return total


def sheet_of(task: Task, key: Hashable, filters: Sequence[Filter], scores: Sequence[tuple[Score, int]]) -> Sheet:
    """Of the task's shape; `key` stands for the rules. Its vectors are not to be changed."""
    sheet: Sheet = task.world.sheets.found((task.shape, key), lambda: Sheet(filters, scores))
    return sheet.refresh(task)
