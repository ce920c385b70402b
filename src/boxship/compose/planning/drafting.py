"""A plan in the making: steps get their numbers in the order in which they are added, so every `after` points back."""

from __future__ import annotations

from collections.abc import Iterable

from boxship.compose.planning.actions import Action, Plan, Step


class Draft:
    """Collects steps and warnings."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.warnings: list[str] = []

    def add(self, action: Action, after: Iterable[int] = (), reason: str = "", *, optional: bool = False) -> int:
        """The new step's number."""
        number = len(self.steps)
        needed = tuple(sorted(set(after)))
        self.steps.append(Step(id=number, action=action, after=needed, reason=reason, optional=optional))
        return number

    def chain(self, actions: Iterable[Action], after: Iterable[int] = (), reason: str = "") -> tuple[int, ...]:
        """One after the other. What a later step has to wait for: the last one, or `after` where there is none."""
        needed = tuple(after)
        for action in actions:
            needed = (self.add(action, needed, reason),)
        return needed

    def warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)

    def plan(self) -> Plan:
        return Plan(tuple(self.steps), tuple(self.warnings))
