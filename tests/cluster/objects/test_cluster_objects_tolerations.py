"""Which taints a pod tolerates: the same for everybody who asks."""

from typing import Any

import pytest

from boxship.cluster.objects.tolerations import tolerates

TAINT = {"key": "level", "value": "7", "effect": "NoExecute"}


@pytest.mark.parametrize(
    ("toleration", "does"),
    [
        ({"operator": "Exists"}, True),
        ({"key": "level", "operator": "Exists", "effect": "NoExecute"}, True),
        ({"key": "level", "operator": "Exists", "effect": "NoSchedule"}, False),
        ({"key": "other", "operator": "Exists"}, False),
        ({"key": "level", "value": "7"}, True),
        ({"key": "level", "operator": "Equal", "value": "8"}, False),
        ({"key": "level", "operator": "Gt", "value": "6"}, True),
        ({"key": "level", "operator": "Gt", "value": "7"}, False),
        ({"key": "level", "operator": "Lt", "value": "8"}, True),
        ({"key": "level", "operator": "Lt", "value": "much"}, False),
        ({"value": "7"}, False),
    ],
)
def test_who_tolerates_what(toleration: dict[str, Any], does: bool) -> None:
    assert tolerates(toleration, TAINT) is does


def test_a_taint_without_a_value() -> None:
    assert tolerates({"key": "a"}, {"key": "a", "effect": "NoSchedule"})
    assert not tolerates({"key": "a", "operator": "Lt", "value": "1"}, {"key": "a", "effect": "NoSchedule"})
