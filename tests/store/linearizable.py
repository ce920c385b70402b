"""A small checker: is there an order of operations on one register that explains what each client was told?

Each operation takes effect at one moment between its call and its answer (Herlihy and Wing, 1990). One whose answer
never came may take effect at any moment after its call, or never. The search takes, again and again, an operation that
no other must come before; what was tried with the same remaining ones and the same value is not tried twice (Lowe,
2017).
"""

from collections.abc import Hashable, Sequence
from typing import NamedTuple

Value = Hashable
NEVER = 1 << 60


class Action(NamedTuple):
    """`kind` is read, write or swap; `seen` is what a read answered; a swap writes `value` if `expected` is there, and
    `done` says whether it did. `end` is NEVER where no answer came."""

    begin: int
    end: int
    kind: str
    value: Value = None
    expected: Value = None
    seen: Value = None
    done: bool = True


def after(action: Action, state: Value) -> tuple[bool, Value]:
    """Whether the answer fits the state, and the state then."""
    unknown = action.end == NEVER
    if action.kind == "read":
        return unknown or action.seen == state, state
    if action.kind == "write":
        return True, action.value
    if unknown:
        return True, action.value if state == action.expected else state
    return action.done == (state == action.expected), action.value if action.done else state


def is_linearizable(actions: Sequence[Action], start: Value = None) -> bool:
    """Whether such an order exists."""
    actions = sorted(actions)
    every = frozenset(index for index, action in enumerate(actions) if action.end != NEVER)
    tried: set[tuple[frozenset[int], Value]] = set()
    stack: list[tuple[frozenset[int], Value]] = [(frozenset(range(len(actions))), start)]
    while stack:
        left, state = stack.pop()
        if not left & every:
            return True
        if (left, state) in tried:
            continue
        tried.add((left, state))
        first = min(actions[index].end for index in left)
        for index in left:
            if actions[index].begin <= first:
                fits, then = after(actions[index], state)
                if fits:
                    stack.append((left - {index}, then))
    return False
