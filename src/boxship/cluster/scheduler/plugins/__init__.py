"""All rules for where a pod may go and where it should, each in one place, in the order in which they are asked. The
first rule that a node breaks is the reason that is told of it.
"""

from boxship.cluster.scheduler.plugins.images import ImageLocality
from boxship.cluster.scheduler.plugins.limits import NodeVolumeLimits
from boxship.cluster.scheduler.plugins.neighbours import InterPodAffinity
from boxship.cluster.scheduler.plugins.nodes import NodeAffinity, NodeName, NodeUnschedulable, TaintToleration
from boxship.cluster.scheduler.plugins.ports import NodePorts
from boxship.cluster.scheduler.plugins.resources import BalancedAllocation, NodeResourcesFit
from boxship.cluster.scheduler.plugins.spreading import PodTopologySpread
from boxship.cluster.scheduler.plugins.volumes import VolumeBinding, VolumeRestrictions, VolumeZone
from boxship.cluster.scheduler.stages import Filter, Score

FILTERS: tuple[Filter, ...] = (
    NodeUnschedulable(),
    NodeName(),
    TaintToleration(),
    NodeAffinity(),
    NodePorts(),
    NodeResourcesFit(),
    VolumeRestrictions(),
    NodeVolumeLimits(),
    VolumeBinding(),
    VolumeZone(),
    PodTopologySpread(),
    InterPodAffinity(),
)

SCORES: tuple[tuple[Score, int], ...] = (  # with their weights
    (TaintToleration(), 3),
    (NodeAffinity(), 2),
    (NodeResourcesFit(), 1),
    (PodTopologySpread(), 2),
    (InterPodAffinity(), 2),
    (BalancedAllocation(), 1),
    (ImageLocality(), 1),
)

# Stages that are no rules about nodes. Permit is absent: nothing of ours waits there.
SCHEDULING_GATES, PRIORITY_SORT, PREEMPTION, BINDER = (
    "SchedulingGates",
    "PrioritySort",
    "DefaultPreemption",
    "DefaultBinder",
)
STAGES = (SCHEDULING_GATES, PRIORITY_SORT, PREEMPTION, BINDER)
