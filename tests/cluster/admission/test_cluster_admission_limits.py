"""LimitRanges and quotas: defaults, refusals, and that no more gets through than fits."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from cluster_admission_kit import Known, named, pod, resource_at, write
from hypothesis import given
from hypothesis import strategies as st

from boxship.cluster.api.admission.limits import LimitRanger
from boxship.cluster.api.admission.quotas import ResourceQuota
from boxship.cluster.controllers.quotas import RESYNC, until_overdue
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure
from boxship.cluster.objects.pod_resources import pod_amounts
from boxship.cluster.objects.quota import total_usage, usage_of

QUOTAS = "v1/resourcequotas"


def ranges(*items: Object) -> Known:
    return Known().put("v1/limitranges", named("l", "default", spec={"limits": list(items)}))


def quota(hard: Object, name: str = "q", **spec: object) -> Object:
    return named(name, "default", spec={"hard": hard, **spec}, status={"hard": hard, "used": {}})


async def test_limit_ranges_fill_in() -> None:
    item = {"type": "Container", "default": {"cpu": "2", "memory": "1Gi"}, "defaultRequest": {"cpu": "1"}}
    plugin = LimitRanger(ranges(item))
    made = pod(limits={"cpu": "3"})
    await plugin.admit(write("v1/pods", made))
    assert made["spec"]["containers"][0]["resources"] == {
        "requests": {"cpu": "1"},
        "limits": {"cpu": "3", "memory": "1Gi"},
    }
    assert made["metadata"]["annotations"] == {
        "kubernetes.io/limit-ranger": "LimitRanger plugin set: cpu request for container c;"
        " memory limit for container c"
    }
    await plugin.validate(write("v1/pods", made))


@pytest.mark.parametrize(
    ("item", "made", "text"),
    [
        (
            {"type": "Container", "min": {"cpu": "1"}},
            pod(requests={"cpu": "500m"}),
            "minimum cpu usage per Container is 1, but request is 500m",
        ),
        (
            {"type": "Container", "min": {"cpu": "1"}},
            pod(),
            "minimum cpu usage per Container is 1. No request is specified",
        ),
        (
            {"type": "Container", "max": {"memory": "1Gi"}},
            pod(limits={"memory": "2Gi"}),
            "maximum memory usage per Container is 1Gi, but limit is 2Gi",
        ),
        (
            {"type": "Container", "max": {"cpu": "1"}, "min": {"cpu": "500m"}},
            pod(requests={"cpu": "2"}, limits={"cpu": "2"}),
            'pods "p" is forbidden: maximum cpu usage per Container is 1, but limit is 2',  # and nothing of requests
        ),
        (
            {"type": "Pod", "max": {"memory": "1Gi"}},
            pod(requests={"memory": "1Gi"}),
            "maximum memory usage per Pod is 1Gi. No limit is specified",
        ),
        (
            {"type": "Container", "maxLimitRequestRatio": {"cpu": "2"}},
            pod(requests={"cpu": "1"}, limits={"cpu": "3"}),
            "cpu max limit to request ratio per Container is 2, but provided ratio is 3.000000",
        ),
        (
            {"type": "Pod", "maxLimitRequestRatio": {"cpu": "2"}},
            pod(),
            "cpu max limit to request ratio per Pod is 2, but no request or limit is specified",
        ),
    ],
)
async def test_limit_ranges_refuse(item: Object, made: Object, text: str) -> None:
    with pytest.raises(Failure) as refused:
        await LimitRanger(ranges(item)).validate(write("v1/pods", made))
    assert refused.value.code == 403 and text in str(refused.value)


async def test_limits_of_claims() -> None:
    plugin = LimitRanger(
        ranges({"type": "PersistentVolumeClaim", "max": {"storage": "1Gi"}, "min": {"storage": "1Mi"}})
    )
    for size, text in (
        ("2Gi", "maximum storage usage per PersistentVolumeClaim is 1Gi, but request is 2Gi"),
        ("1Ki", "minimum"),
    ):
        claim = named("c", spec={"resources": {"requests": {"storage": size}}})
        with pytest.raises(Failure, match=text):
            await plugin.validate(write("v1/persistentvolumeclaims", claim))
    fine = named("c", spec={"resources": {"requests": {"storage": "1Gi"}}})
    await plugin.validate(write("v1/persistentvolumeclaims", fine))


def test_what_a_pod_asks_for() -> None:
    spec = {
        "containers": [{"resources": {"requests": {"cpu": "1"}}}, {"resources": {"requests": {"cpu": "500m"}}}],
        "initContainers": [
            {"restartPolicy": "Always", "resources": {"requests": {"cpu": "200m"}}},
            {"resources": {"requests": {"cpu": "2", "memory": "1Gi"}}},
        ],
        "overhead": {"cpu": "100m"},
    }
    asked = {name: amount.text for name, amount in pod_amounts(spec, "requests").items()}
    assert asked == {"cpu": "2300m", "memory": "1Gi"}  # the second init container beside the sidecar, and the overhead
    whole = {**spec, "resources": {"requests": {"cpu": "9"}}}
    assert pod_amounts(whole, "requests")["cpu"].text == "9100m"


async def test_quotas_charge_and_refuse() -> None:
    known = Known().put(QUOTAS, quota({"pods": "2", "requests.cpu": "1", "count/deployments.apps": "0"}))
    plugin = ResourceQuota(known, known)
    await plugin.validate(write("v1/pods", pod("a", requests={"cpu": "600m"})))
    assert known.objects[QUOTAS][0]["status"]["used"] == {"pods": "1", "requests.cpu": "600m"}
    with pytest.raises(Failure) as refused:
        await plugin.validate(write("v1/pods", pod("b", requests={"cpu": "600m"})))
    assert str(refused.value) == (
        'pods "b" is forbidden: exceeded quota: q, requested: requests.cpu=600m, used: requests.cpu=600m, '
        "limited: requests.cpu=1"
    )
    with pytest.raises(Failure, match=r"failed quota: q: must specify requests\.cpu for: c,i$"):
        await plugin.validate(write("v1/pods", pod("b", initContainers=[{"name": "i", "image": "i"}])))
    with pytest.raises(Failure, match=r"exceeded quota: q, requested: count/deployments\.apps=1"):
        await plugin.validate(write("apps/v1/deployments", named("d", spec={})))
    writes = known.writes
    await plugin.validate(write("v1/pods", pod("b", requests={"cpu": "400m"}), dry_run=True))
    assert known.writes == writes  # nothing is charged for what is not done
    known.conflicts = 3
    await plugin.validate(write("v1/pods", pod("b", requests={"cpu": "400m"})))
    assert known.objects[QUOTAS][0]["status"]["used"] == {"pods": "2", "requests.cpu": "1"}


async def test_quotas_count_themselves() -> None:
    known = Known().put(QUOTAS, {**quota({"resourcequotas": "1"}), "status": {"used": {"resourcequotas": "1"}}})
    with pytest.raises(
        Failure, match="exceeded quota: q, requested: resourcequotas=1, used: resourcequotas=1, limited"
    ):
        await ResourceQuota(known, known).validate(write(QUOTAS, named("another", spec={"hard": {"pods": "1"}})))
    await ResourceQuota(known, known).validate(write(QUOTAS, named("q"), old=named("q"), operation="UPDATE"))


async def test_quotas_under_many_writes_at_once() -> None:
    known = Known().put(QUOTAS, quota({"pods": "5"}))
    plugin = ResourceQuota(known, known)
    asked = [plugin.validate(write("v1/pods", pod(f"p{index}"))) for index in range(20)]
    done = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(each is None for each in done) == 5
    assert known.objects[QUOTAS][0]["status"]["used"] == {"pods": "5"}


@pytest.mark.parametrize(
    ("spec", "made", "counted"),
    [
        ({"scopes": ["BestEffort"]}, pod(), True),
        ({"scopes": ["BestEffort"]}, pod(requests={"cpu": "1"}), False),
        ({"scopes": ["NotBestEffort"]}, pod(requests={"cpu": "1"}), True),
        ({"scopes": ["Terminating"]}, pod(activeDeadlineSeconds=5), True),
        ({"scopes": ["NotTerminating"]}, pod(activeDeadlineSeconds=5), False),
        (
            {
                "scopeSelector": {
                    "matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": ["x"]}]
                }
            },
            pod(priorityClassName="x"),
            True,
        ),
        (
            {"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "DoesNotExist"}]}},
            pod(priorityClassName="x"),
            False,
        ),
        (
            {"scopes": ["CrossNamespacePodAffinity"]},
            pod(
                affinity={
                    "podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"namespaces": ["other"]}]}
                }
            ),
            True,
        ),
    ],
)
async def test_scopes(spec: Object, made: Object, counted: bool) -> None:
    known = Known().put(QUOTAS, quota({"pods": "0"}, **spec))
    plugin = ResourceQuota(known, known)
    if counted:
        with pytest.raises(Failure, match="exceeded quota"):
            await plugin.validate(write("v1/pods", made))
    else:
        await plugin.validate(write("v1/pods", made))


def test_usage_of_other_things() -> None:
    def used(path: str, made: Object) -> Object:
        return {name: amount.text for name, amount in usage_of(resource_at(path), made).items()}

    balancer = named("s", spec={"type": "LoadBalancer", "ports": [{"port": 1}, {"port": 2}]})
    assert used("v1/services", balancer) == {
        "count/services": "1",
        "services": "1",
        "services.nodeports": "2",
        "services.loadbalancers": "1",
    }
    claim = named("c", spec={"storageClassName": "fast", "resources": {"requests": {"storage": "1Gi"}}})
    assert used("v1/persistentvolumeclaims", claim) == {
        "count/persistentvolumeclaims": "1",
        "persistentvolumeclaims": "1",
        "requests.storage": "1Gi",
        "fast.storageclass.storage.k8s.io/requests.storage": "1Gi",
        "fast.storageclass.storage.k8s.io/persistentvolumeclaims": "1",
    }
    ended = {**pod(requests={"cpu": "1"}), "status": {"phase": "Succeeded"}}
    assert used("v1/pods", ended) == {"count/pods": "1"}


def test_pods_that_should_have_gone_hold_nothing() -> None:
    now = datetime(2026, 1, 1, 12, tzinfo=UTC)
    told = {"deletionTimestamp": "2026-01-01T12:00:00Z", "deletionGracePeriodSeconds": 30}
    pods, stuck, ends = resource_at("v1/pods"), pod(requests={"cpu": "1"}), pod(requests={"cpu": "1"})
    stuck["metadata"].update(told)
    hard = quota({"pods": "5", "requests.cpu": "5", "count/pods": "5"})
    for seconds, used in ((29, "2"), (31, "1")):
        total = total_usage(hard, [(pods, stuck), (pods, ends)], now + timedelta(seconds=seconds))
        assert total == {"pods": used, "requests.cpu": used, "count/pods": "2"}
    assert until_overdue([(pods, stuck), (pods, ends)], now) == 30
    assert until_overdue([(pods, stuck)], now + timedelta(seconds=31)) == until_overdue([(pods, ends)], now) == RESYNC


@given(st.lists(st.integers(min_value=0, max_value=4000), max_size=12))
def test_the_sum_is_what_all_of_them_use(millis: list[int]) -> None:
    objects = [
        (resource_at("v1/pods"), pod(f"p{index}", requests={"cpu": f"{each}m"})) for index, each in enumerate(millis)
    ]
    total = total_usage(quota({"pods": "1", "requests.cpu": "1", "secrets": "1"}), objects)
    from boxship.cluster.objects.quantity import parse

    assert parse(total["requests.cpu"]).milli == sum(millis)
    assert (total["pods"], total["secrets"]) == (str(len(millis)), "0")
