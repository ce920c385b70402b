"""What a node tells of how it does its work: pure."""

import pytest

from boxship.cluster.node.agent import Options
from boxship.cluster.node.configuration import configuration, duration
from boxship.cluster.node.eviction.pressure import MEMORY, THRESHOLDS, Threshold
from boxship.cluster.node.status.facts import NodeFacts


def test_what_is_told() -> None:
    soft = Threshold(MEMORY, 300 << 20, 0.0, 90.0, 30.0)
    options = Options(static_folder="/static", thresholds=(*THRESHOLDS, soft))
    found = configuration(options, NodeFacts(name="n", pods=50, reserved={"cpu": "200m"}), "home", ("10.0.0.10",))
    assert (found["kind"], found["staticPodPath"], found["maxPods"]) == ("KubeletConfiguration", "/static", 50)
    assert (found["clusterDomain"], found["clusterDNS"]) == ("home", ["10.0.0.10"])
    assert found["systemReserved"] == {"cpu": "200m"}
    assert found["evictionHard"] == {
        "memory.available": "100Mi",
        "nodefs.available": "10%",
        "nodefs.inodesFree": "5%",
        "pid.available": "2%",
    }
    assert found["evictionSoft"] == {"memory.available": "300Mi"}
    assert (found["evictionSoftGracePeriod"], found["evictionMaxPodGracePeriod"]) == ({"memory.available": "1m30s"}, 30)
    assert (found["containerLogMaxSize"], found["containerLogMaxFiles"]) == ("10Mi", 5)
    assert "evictionSoft" not in configuration(Options(), NodeFacts(name="n"), "home", ())


@pytest.mark.parametrize(("seconds", "text"), [(0, "0s"), (40, "40s"), (300.0, "5m0s"), (3725, "1h2m5s")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
