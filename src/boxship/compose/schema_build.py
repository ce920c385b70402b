"""The table of fields: image builds, a developer's changes, and commands at a container's start and end."""

from __future__ import annotations

from boxship.compose import canonical_short as short
from boxship.compose.schema import (
    Either,
    Flag,
    Hosts,
    Many,
    Mode,
    Named,
    Pairs,
    Record,
    Size,
    Text,
    Whole,
    Words,
    fields,
)

STRINGS = Many(Text(), unique=True)
STRING_OR_LIST = Many(Text(), lone=True, unique=True)
ISOLATION = Text(choices=("", "default"), refused=("process", "hyperv"))

ULIMITS = Named(
    Either(Whole(low=-1), Record(fields(soft=Whole(low=-1), hard=Whole(low=-1)), required=("soft", "hard"))),
    pattern="[a-z]+",
)


# What a service or a build is given of the secrets or configurations.
GRANTS = Many(
    Record(
        fields(source=Text(), target=Text(), uid=Text(numbers=True), gid=Text(numbers=True), mode=Mode()),
        required=("source",),
    ),
    short=short.grants,
)

BUILD = Record(
    fields(
        context=Text(),
        dockerfile=Text(),
        dockerfile_inline=Text(),
        additional_contexts=Pairs(),
        args=Pairs(inherit=True),
        cache_from=STRINGS,
        cache_to=STRINGS,
        entitlements=STRINGS,
        extra_hosts=Hosts(),
        isolation=ISOLATION,
        labels=Pairs(),
        network=Text(),
        no_cache=Flag(),
        no_cache_filter=STRING_OR_LIST,
        platforms=STRINGS,
        privileged=Flag(),
        provenance=Text(numbers=True),
        pull=Flag(),
        sbom=Text(numbers=True),
        secrets=GRANTS,
        shm_size=Size(),
        ssh=Pairs(),
        tags=STRINGS,
        target=Text(),
        ulimits=ULIMITS,
    ),
    short=short.build,
)

HOOK = Record(
    fields(
        command=Words(),
        user=Text(numbers=True),
        privileged=Flag(),
        working_dir=Text(),
        environment=Pairs(inherit=True),
    ),
    required=("command",),
)

TRIGGER = Record(
    fields(
        path=Text(),
        action=Text(choices=("sync", "rebuild", "restart", "sync+restart", "sync+exec")),
        target=Text(),
        ignore=STRING_OR_LIST,
        include=STRING_OR_LIST,
        initial_sync=Flag(),
        exec=HOOK,
    ),
    required=("path", "action"),
)

DEVELOP = Record(fields(watch=Many(TRIGGER)), null=True)
