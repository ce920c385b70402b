"""The rules of coordination.k8s.io: Lease.

Source: pkg/apis/coordination/validation, documentation "Leases".
"""

from collections.abc import Mapping, Sequence

from boxship.cluster.objects import Object, names
from boxship.cluster.objects.failure import Cause
from boxship.cluster.objects.kinds.checking import Found, non_negative
from boxship.cluster.objects.rules import Rules

STRATEGIES = ("OldestEmulationVersion",)


def _validate(lease: Object) -> Sequence[Cause]:
    found = Found()
    spec = lease.get("spec") or {}
    duration, strategy = spec.get("leaseDurationSeconds"), spec.get("strategy")
    if duration is not None and duration <= 0:
        found.invalid("spec.leaseDurationSeconds", duration, "must be greater than 0")
    non_negative(found, spec, "spec", "leaseTransitions")
    if strategy is not None:
        if "/" in strategy:
            found.because("spec.strategy.strategy", strategy, names.qualified(strategy))
        elif strategy not in STRATEGIES:
            found.unsupported("spec.strategy.strategy", strategy, STRATEGIES)
    if spec.get("preferredHolder") and not strategy:
        found.forbidden("spec.preferredHolder", "may only be specified if `strategy` is defined")
    return found.causes


RULES: Mapping[str, Rules] = {"Lease": Rules(validate=_validate, create_on_update=True, needs_version=True)}
