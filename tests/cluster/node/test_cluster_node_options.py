"""What the daemon's options say of its node."""

from pathlib import Path
from typing import Any

import pytest

from boxship.cluster.node.eviction.collecting import Limits
from boxship.cluster.node.eviction.pressure import MEMORY, THRESHOLDS, Threshold
from boxship.cluster.node.pulled import LISTED, Verification
from boxship.errors import Invalid
from boxship.main.node_options import parse_node, parse_threshold
from boxship.main.options import Options


def test_what_is_not_said_is_as_it_was() -> None:
    options = parse_node(Options())
    assert options.thresholds == THRESHOLDS and not options.reserved
    assert options.agent(Path("/data")).static_folder == "/data/static-pods"


def test_thresholds_and_reserves() -> None:
    options = parse_node(
        Options(
            static_pods="/pods",
            system_reserved="cpu=0.2,memory=512Mi",
            eviction=("memory.available<10%", "memory.available<1Gi:90"),
        )
    )
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
        parse_node(Options(system_reserved=reserved))


def test_a_folder_that_is_not_absolute() -> None:
    with pytest.raises(Invalid, match="static-pods"):
        parse_node(Options(static_pods="pods"))


def test_what_is_said_of_images() -> None:
    options = parse_node(
        Options(
            eviction_transition="20s",
            image_garbage="70%,50.5%,1Gi,30s",
            images_from_nodes="off",
            image_credentials=LISTED,
            preloaded_image=("web", "shop.example/team/*"),
        )
    )
    assert options.images == Limits(70, 50.5, 1 << 30, 30.0) and not options.images_from_nodes
    assert options.held == 20.0 and parse_node(Options()).held == 300.0
    assert options.verification == Verification(LISTED, ("docker.io/library/web", "shop.example/team/*"))
    assert options.agent(Path("/data")).verification == options.verification
    assert parse_node(Options()).images == Limits() and parse_node(Options()).images_from_nodes


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"image_garbage": "80%,85%"}, "image-garbage"),
        ({"image_garbage": "80%"}, "image-garbage"),
        ({"image_garbage": "80%,x"}, "image-garbage"),
        ({"image_garbage": "80%,70%,1Gi,soon"}, "image-garbage"),
        ({"eviction_transition": "-1s"}, "eviction-transition"),
        ({"images_from_nodes": "maybe"}, "images-from-nodes"),
        ({"image_credentials": "Sometimes"}, "image-credentials"),
        ({"preloaded_image": ("web",)}, "preloaded-image"),
        ({"image_credentials": LISTED, "preloaded_image": ("web:1",)}, "web:1"),
    ],
)
def test_what_cannot_be_said_of_images(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(Invalid, match=said):
        parse_node(Options(**wrong))
