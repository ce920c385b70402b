"""The table of fields: how a service is deployed, and which devices it reserves."""

from __future__ import annotations

from boxship.compose import canonical_short as short
from boxship.compose.schema import (
    Field,
    Many,
    Pairs,
    Real,
    Record,
    Size,
    Span,
    Text,
    Whole,
    fields,
)

CLUSTER = "a cluster of several machines"
STRINGS = Many(Text(), unique=True)

REQUEST_FIELDS = fields(
    capabilities=STRINGS,
    count=Whole(low=-1, words={"all": -1}),
    device_ids=Many(Text(numbers=True), unique=True),
    driver=Text(),
    options=Pairs(),
)
GPUS = Many(Record(REQUEST_FIELDS), lone=True, short=short.gpus)

ORDER = Text(choices=("start-first", "stop-first"))


def _update(*actions: str, elsewhere: str = "") -> Record:
    return Record(
        fields(
            parallelism=Whole(low=0),
            delay=Field(Span(), elsewhere=elsewhere),
            failure_action=Text(choices=actions),
            monitor=Field(Span(), elsewhere=elsewhere),
            max_failure_ratio=Field(Real(low=0, high=1), elsewhere=elsewhere),
            order=Field(ORDER, elsewhere=elsewhere),
        )
    )


GENERIC = Many(Record(fields(discrete_resource_spec=Record(fields(kind=Text(), value=Whole(low=0))))))

RESOURCES = Record(
    fields(
        limits=Record(fields(cpus=Real(low=0), memory=Size(), pids=Whole(low=-1))),
        reservations=Record(
            fields(
                cpus=Real(low=0),
                memory=Size(),
                devices=Many(Record(REQUEST_FIELDS, required=("capabilities",))),
                generic_resources=Field(GENERIC, elsewhere=CLUSTER),
            )
        ),
    )
)

RESTART_POLICY = Record(
    fields(
        condition=Text(choices=("none", "on-failure", "any", "")),
        delay=Field(Span(), elsewhere=CLUSTER),
        max_attempts=Whole(low=0),
        window=Field(Span(), elsewhere=CLUSTER),
    )
)

PLACEMENT = Record(
    fields(
        constraints=Many(Text()),
        preferences=Many(Record(fields(spread=Text()))),
        max_replicas_per_node=Whole(low=0),
    )
)

DEPLOY = Record(
    fields(
        mode=Text(choices=("replicated", "global", ""), refused=("replicated-job", "global-job")),
        replicas=Whole(low=0),
        labels=Pairs(),
        update_config=_update("continue", "pause", "rollback"),
        # The way back follows the way there: what is undone at a time, and whether a failure ends it, can be said.
        rollback_config=_update("continue", "pause", elsewhere=CLUSTER),
        resources=RESOURCES,
        restart_policy=RESTART_POLICY,
        placement=Field(PLACEMENT, elsewhere=CLUSTER),
        endpoint_mode=Text(choices=("vip", "dnsrr", "")),
    ),
    null=True,
)
