"""KubeSchedulerConfiguration v1: which rules count for pods of which scheduler, with which weights and settings. What
we do not do is refused by its name.

Source: kubernetes.io, "Scheduler Configuration", "kube-scheduler Configuration (v1)".
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from boxship.cluster.objects import Object
from boxship.cluster.scheduler.deciding import Profile
from boxship.cluster.scheduler.plugins import (
    BINDER,
    FILTERS,
    PREEMPTION,
    PRIORITY_SORT,
    SCHEDULING_GATES,
    SCORES,
)
from boxship.cluster.scheduler.plugins.neighbours import InterPodAffinity
from boxship.cluster.scheduler.plugins.nodes import NodeAffinity
from boxship.cluster.scheduler.plugins.resources import LEAST, MOST, RATIO, BalancedAllocation, NodeResourcesFit
from boxship.cluster.scheduler.plugins.spreading import SYSTEM_DEFAULTS, PodTopologySpread
from boxship.cluster.scheduler.shapes import PREFERRED, REQUIRED, node_term, spread_of
from boxship.cluster.scheduler.waiting import FIRST_PAUSE, LONGEST_PAUSE
from boxship.errors import Invalid, Unsupported

API_VERSION, KIND = "kubescheduler.config.k8s.io/v1", "KubeSchedulerConfiguration"
ABSENT = ("DynamicResources",)  # rules of the original that we have not: they can be switched off
OURS = {"queueSort": PRIORITY_SORT, "preEnqueue": SCHEDULING_GATES, "bind": BINDER}  # stages with one plugin each
T = TypeVar("T")


class Settings(msgspec.Struct, frozen=True):
    """Profiles by the names that pods ask for, and how long failures pause (seconds)."""

    profiles: dict[str, Profile]
    first_pause: float = FIRST_PAUSE
    longest_pause: float = LONGEST_PAUSE


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A part of the file: fields that are not here are refused."""


class _Plugin(_Part, frozen=True):
    name: str
    weight: int = 0


class _PluginSet(_Part, frozen=True):
    enabled: tuple[_Plugin, ...] = ()
    disabled: tuple[_Plugin, ...] = ()


class _PluginConfig(_Part, frozen=True):
    name: str
    args: dict[str, Any] = {}


class _Profile(_Part, frozen=True):
    scheduler_name: str = "default-scheduler"
    percentage_of_nodes_to_score: int = 0
    plugins: dict[str, _PluginSet] = {}
    plugin_config: tuple[_PluginConfig, ...] = ()


class _LeaderElection(_Part, frozen=True):
    leader_elect: bool = False


class _File(_Part, frozen=True):
    api_version: str
    kind: str
    profiles: tuple[_Profile, ...] = ()
    leader_election: _LeaderElection = _LeaderElection()
    percentage_of_nodes_to_score: int = 0
    pod_initial_backoff_seconds: int = int(FIRST_PAUSE)
    pod_max_backoff_seconds: int = int(LONGEST_PAUSE)


class _Resource(_Part, frozen=True):
    name: str
    weight: int = 1


class _Point(_Part, frozen=True):
    utilization: int
    score: int


class _Ratio(_Part, frozen=True):
    shape: tuple[_Point, ...] = ()


class _Strategy(_Part, frozen=True):
    type: str = LEAST
    resources: tuple[_Resource, ...] = (_Resource("cpu"), _Resource("memory"))
    requested_to_capacity_ratio: _Ratio | None = None


class _FitArgs(_Part, frozen=True):
    ignored_resources: tuple[str, ...] = ()
    ignored_resource_groups: tuple[str, ...] = ()
    scoring_strategy: _Strategy = _Strategy()


class _BalanceArgs(_Part, frozen=True):
    resources: tuple[_Resource, ...] = (_Resource("cpu"), _Resource("memory"))


class _Affinity(_Part, frozen=True, rename={"required": REQUIRED, "preferred": PREFERRED}):
    required: dict[str, Any] | None = None
    preferred: tuple[dict[str, Any], ...] = ()


class _AffinityArgs(_Part, frozen=True):
    added_affinity: _Affinity | None = None


class _NeighbourArgs(_Part, frozen=True):
    hard_pod_affinity_weight: int = 1
    ignore_preferred_terms_of_existing_pods: bool = False


class _SpreadArgs(_Part, frozen=True):
    default_constraints: tuple[dict[str, Any], ...] = ()
    defaulting_type: str = "System"


class _PreemptionArgs(_Part, frozen=True):
    min_candidate_nodes_percentage: int = 10
    min_candidate_nodes_absolute: int = 100


DEFAULT = Settings({Profile().name: Profile()})


def read_settings(document: Any) -> Settings:
    """Of the file's document. Raises Invalid, Unsupported."""
    if not isinstance(document, dict) or (document.get("apiVersion"), document.get("kind")) != (API_VERSION, KIND):
        raise Invalid(f"cannot use the scheduler's configuration: write apiVersion {API_VERSION}, kind {KIND}")
    file = _converted(document, _File, "the scheduler's configuration")
    if file.leader_election.leader_elect:
        raise Unsupported("unsupported: leaderElection.leaderElect")
    _all_nodes(file.percentage_of_nodes_to_score)
    if not 0 < file.pod_initial_backoff_seconds <= file.pod_max_backoff_seconds:
        raise Invalid("cannot use podInitialBackoffSeconds: write more than 0 and no more than podMaxBackoffSeconds")
    profiles: dict[str, Profile] = {}
    for each in file.profiles or (_Profile(),):
        if each.scheduler_name in profiles:
            raise Invalid(f"cannot use profile {each.scheduler_name}: there are two of that name")
        profiles[each.scheduler_name] = _profile(each)
    return Settings(profiles, float(file.pod_initial_backoff_seconds), float(file.pod_max_backoff_seconds))


def _profile(file: _Profile) -> Profile:
    _all_nodes(file.percentage_of_nodes_to_score)
    filters, scores, preempts = FILTERS, SCORES, True
    for stage, plugins in file.plugins.items():
        if stage in ("filter", "multiPoint"):
            filters = _chosen(plugins, filters, FILTERS)
        if stage in ("score", "multiPoint"):
            scores = _weighted(plugins, scores)
        if stage in ("postFilter", "multiPoint"):
            preempts = _switched(plugins, PREEMPTION, preempts)
        if stage in OURS:
            if not _switched(plugins, OURS[stage], True):
                raise Unsupported(f"unsupported: plugins.{stage}.disabled")
        elif stage not in ("filter", "score", "postFilter", "multiPoint"):
            raise Unsupported(f"unsupported: plugins.{stage}")
        _check_names(stage, plugins)
    settings: dict[str, Any] = {}
    percent, absolute = 10, 100
    for config in file.plugin_config:
        args = {key: value for key, value in config.args.items() if key not in ("apiVersion", "kind")}
        if config.name == PREEMPTION:
            limits = _converted(args, _PreemptionArgs, config.name)
            percent, absolute = limits.min_candidate_nodes_percentage, limits.min_candidate_nodes_absolute
        elif config.name in MAKERS:
            settings[config.name] = MAKERS[config.name](args)
        else:
            raise Unsupported(f"unsupported: pluginConfig {config.name}")
    return Profile(
        name=file.scheduler_name,
        filters=tuple(settings.get(each.name, each) for each in filters),
        scores=tuple((settings.get(each.name, each), weight) for each, weight in scores),
        preempts=preempts,
        candidates=(percent, absolute),
    )


def _all_nodes(percent: int) -> None:
    """We always look at every node."""
    if percent not in (0, 100):
        raise Unsupported("unsupported: percentageOfNodesToScore")


def _chosen(plugins: _PluginSet, before: Sequence[Any], every: Sequence[Any]) -> tuple[Any, ...]:
    off, on = {each.name for each in plugins.disabled}, {each.name for each in plugins.enabled}
    kept = {each.name for each in before if each.name not in off and "*" not in off} | on
    return tuple(each for each in every if each.name in kept)


def _weighted(plugins: _PluginSet, before: Sequence[tuple[Any, int]]) -> tuple[tuple[Any, int], ...]:
    off = {each.name for each in plugins.disabled}
    weights = {each.name: weight for each, weight in before if each.name not in off and "*" not in off}
    usual = {each.name: weight for each, weight in SCORES}
    for plugin in plugins.enabled:
        if plugin.name in usual:
            weights[plugin.name] = plugin.weight or usual[plugin.name]
    return tuple((each, weights[each.name]) for each, _ in SCORES if each.name in weights)


def _switched(plugins: _PluginSet, name: str, before: bool) -> bool:
    if any(each.name == name for each in plugins.enabled):
        return True
    return before and not any(each.name in (name, "*") for each in plugins.disabled)


def _check_names(stage: str, plugins: _PluginSet) -> None:
    known = set(_known(stage))
    for each in plugins.enabled:
        if each.name not in known:
            raise Unsupported(f"unsupported: plugins.{stage}.enabled {each.name}")
    for each in plugins.disabled:
        if each.name not in known | {*ABSENT, "*"}:
            raise Unsupported(f"unsupported: plugins.{stage}.disabled {each.name}")


def _known(stage: str) -> Iterator[str]:
    if stage in ("filter", "multiPoint"):
        yield from (each.name for each in FILTERS)
    if stage in ("score", "multiPoint"):
        yield from (each.name for each, _ in SCORES)
    if stage in ("postFilter", "multiPoint"):
        yield PREEMPTION
    if stage in OURS:
        yield OURS[stage]
    if stage == "multiPoint":
        yield from OURS.values()


def _converted(document: Any, form: type[T], name: str) -> T:
    try:
        return msgspec.convert(document, form)
    except msgspec.ValidationError as error:
        raise Invalid(f"cannot use {name}: {error}") from None


def _fit(args: Mapping[str, Any]) -> NodeResourcesFit:
    found = _converted(args, _FitArgs, NodeResourcesFit.name)
    strategy = found.scoring_strategy
    if strategy.type not in (LEAST, MOST, RATIO):
        raise Invalid(f"cannot use scoringStrategy.type {strategy.type}: it is one of {LEAST}, {MOST}, {RATIO}")
    points = strategy.requested_to_capacity_ratio.shape if strategy.requested_to_capacity_ratio else ()
    if (strategy.type == RATIO) != bool(points):
        raise Invalid(f"cannot use requestedToCapacityRatio: its shape and type {RATIO} go together")
    places = [point.utilization for point in points]
    if places != sorted(set(places)) or not all(0 <= place <= 100 for place in places):
        raise Invalid("cannot use requestedToCapacityRatio.shape: utilization grows from 0 to 100")
    if not all(0 <= point.score <= 10 for point in points):
        raise Invalid("cannot use requestedToCapacityRatio.shape: score is 0 to 10")
    return NodeResourcesFit(
        ignored=found.ignored_resources,
        ignored_groups=found.ignored_resource_groups,
        strategy=strategy.type,
        resources=_resources(strategy.resources),
        curve=tuple((point.utilization, point.score) for point in points),
    )


def _balance(args: Mapping[str, Any]) -> BalancedAllocation:
    return BalancedAllocation(_resources(_converted(args, _BalanceArgs, BalancedAllocation.name).resources))


def _resources(listed: Sequence[_Resource]) -> tuple[tuple[str, int], ...]:
    for each in listed:
        if not 1 <= each.weight <= 100:
            raise Invalid(f"cannot use the weight of resource {each.name}: it is 1 to 100")
    return tuple((each.name, each.weight) for each in listed)


def _affinity(args: Mapping[str, Any]) -> NodeAffinity:
    added = _converted(args, _AffinityArgs, NodeAffinity.name).added_affinity
    if added is None:
        return NodeAffinity()
    terms = None if added.required is None else added.required.get("nodeSelectorTerms") or ()
    wishes = (node_term(wish.get("preference") or {}, int(wish.get("weight") or 0)) for wish in added.preferred)
    return NodeAffinity(None if terms is None else tuple(node_term(term) for term in terms), tuple(wishes))


def _neighbours(args: Mapping[str, Any]) -> InterPodAffinity:
    found = _converted(args, _NeighbourArgs, InterPodAffinity.name)
    if not 0 <= found.hard_pod_affinity_weight <= 100:
        raise Invalid("cannot use hardPodAffinityWeight: it is 0 to 100")
    return InterPodAffinity(found.hard_pod_affinity_weight, found.ignore_preferred_terms_of_existing_pods)


def _spread(args: Mapping[str, Any]) -> PodTopologySpread:
    found = _converted(args, _SpreadArgs, PodTopologySpread.name)
    if found.defaulting_type not in ("System", "List"):
        raise Invalid(f"cannot use defaultingType {found.defaulting_type}: it is System or List")
    if found.defaulting_type == "System":
        if found.default_constraints:
            raise Invalid("cannot use defaultConstraints: they are for defaultingType List")
        return PodTopologySpread(SYSTEM_DEFAULTS)
    listed: list[Object] = list(found.default_constraints)
    if any("labelSelector" in each for each in listed):
        raise Invalid("cannot use defaultConstraints: labelSelector is made of what a pod belongs to")
    return PodTopologySpread(tuple(spread_of(each, {}) for each in listed), by_system=False)


MAKERS = {
    NodeResourcesFit.name: _fit,
    BalancedAllocation.name: _balance,
    NodeAffinity.name: _affinity,
    InterPodAffinity.name: _neighbours,
    PodTopologySpread.name: _spread,
}
