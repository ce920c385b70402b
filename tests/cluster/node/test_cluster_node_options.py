"""What the daemon's options say of its node."""

from pathlib import Path

import pytest

from boxship.cluster.node.eviction.pressure import MEMORY, THRESHOLDS, Threshold
from boxship.errors import Invalid
from boxship.main.node_options import parse_node, parse_threshold


def test_what_is_not_said_is_as_it_was() -> None:
    options = parse_node("", "", ())
    assert options.thresholds == THRESHOLDS and not options.reserved
    assert options.agent(Path("/data")).static_folder == "/data/static-pods"


def test_thresholds_and_reserves() -> None:
    options = parse_node("/pods", "cpu=0.2,memory=512Mi", ("memory.available<10%", "memory.available<1Gi:90"))
    assert options.reserved == {"cpu": "200m", "memory": "512Mi"}
    assert [one for one in options.thresholds if one.signal == MEMORY] == [
        Threshold(MEMORY, 0, 10.0),
        Threshold(MEMORY, 1 << 30, 0.0, 90.0, 30.0),
    ]
    assert len(options.thresholds) == len(THRESHOLDS) + 1


@pytest.mark.parametrize(
    "text", ["memory<1Gi", "memory.available=1Gi", "memory.available<much", "memory.available<1Gi:x"]
)
def test_wrong_thresholds(text: str) -> None:
    with pytest.raises(Invalid, match="cannot use eviction"):
        parse_threshold(text)


@pytest.mark.parametrize("reserved", ["pods=3", "cpu", "cpu=much"])
def test_wrong_reserves(reserved: str) -> None:
    with pytest.raises(Invalid, match="cannot use system-reserved"):
        parse_node("", reserved, ())


def test_a_folder_that_is_not_absolute() -> None:
    with pytest.raises(Invalid, match="static-pods"):
        parse_node("pods", "", ())
