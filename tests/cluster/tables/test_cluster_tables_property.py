"""Whatever an object holds, its table row can be made: damaged values are shown as something, never raised."""

import copy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from boxship.cluster.objects.resource import Resource
from boxship.cluster.objects.tables import VIEWS, table_of

WORDS = (
    "metadata name namespace labels annotations creationTimestamp deletionTimestamp ownerReferences "
    "controller kind apiVersion spec status replicas readyReplicas template containers initContainers "
    "restartPolicy image phase reason conditions type conditionType readinessGates containerStatuses "
    "initContainerStatuses state lastState terminated waiting running exitCode signal finishedAt started "
    "ready restartCount podIPs ip nodeName nodeSelector selector matchLabels matchExpressions key "
    "operator values ports port protocol nodePort clusterIPs externalIPs loadBalancer ingress hostname "
    "subsets addresses address nodeInfo capacity storage accessModes claimRef hard used webhooks metrics "
    "currentMetrics resource target averageValue averageUtilization current completions parallelism "
    "startTime completionTime schedule active jobTemplate roleRef subjects rules host tls parameters "
    "parentRef endpoints drivers tokenRequests limited limitResponse queuing allocation reservedFor "
    "service involvedObject series count data lastTimestamp firstTimestamp eventTime paramRef paramKind "
    "validations cidrs volumeLifecycleModes"
)
KEYS = sorted(set(WORDS.split()))
SCALARS = st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=4) | st.just("2026-11-22T12:00:00Z")
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=25,
)
OBJECTS = st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=8)


@settings(max_examples=150, deadline=None)
@given(OBJECTS)
def test_no_object_breaks_its_row(object: dict[str, Any]) -> None:
    before = copy.deepcopy(object)
    for (group, kind), view in VIEWS.items():
        resource = Resource(group, "v1", kind, kind.lower(), kind.lower(), True, kind, "v1")
        rows = table_of(resource, [object], 1.8e9)[1]
        assert len(rows[0]["cells"]) == len(view.columns)
    assert object == before
