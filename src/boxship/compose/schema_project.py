"""The table of fields: the whole file, with its networks, volumes, secrets and configurations.

Secrets and configurations that only a cluster can hold (external ones, drivers) are refused by name.
"""

from __future__ import annotations

from boxship.compose import canonical_short as short
from boxship.compose.schema import (
    Anything,
    Either,
    Field,
    Flag,
    Many,
    Named,
    Pairs,
    Record,
    Text,
    fields,
)
from boxship.compose.schema_build import STRING_OR_LIST
from boxship.compose.schema_service import SERVICE

# A mapping with a name is the old way to write it.
EXTERNAL = Either(Flag(), Record(fields(name=Text())))

NETWORK = Record(
    fields(
        name=Text(),
        driver=Text(),
        driver_opts=Pairs(listed=False),
        ipam=Record(
            fields(
                driver=Text(),
                config=Many(
                    Record(fields(subnet=Text(), ip_range=Text(), gateway=Text(), aux_addresses=Pairs(listed=False)))
                ),
                options=Pairs(listed=False),
            )
        ),
        external=EXTERNAL,
        internal=Flag(),
        enable_ipv4=Flag(),
        enable_ipv6=Flag(),
        attachable=Flag(),
        labels=Pairs(),
    ),
    null=True,
)

VOLUME = Record(
    fields(name=Text(), driver=Text(), driver_opts=Pairs(listed=False), external=EXTERNAL, labels=Pairs()),
    null=True,
)

SECRET = Record(
    fields(
        name=Text(),
        environment=Text(),
        file=Text(),
        content=Text(),
        external=EXTERNAL,
        labels=Pairs(),
        driver=Field(Text(), refused=True),
        driver_opts=Field(Pairs(listed=False), refused=True),
        template_driver=Field(Text(), refused=True),
    )
)

CONFIG = Record(
    fields(
        name=Text(),
        content=Text(),
        environment=Text(),
        file=Text(),
        external=EXTERNAL,
        labels=Pairs(),
        template_driver=Field(Text(), refused=True),
    )
)

INCLUDE = Many(
    Record(
        fields(path=STRING_OR_LIST, env_file=STRING_OR_LIST, project_directory=Text()),
        required=("path",),
        short=short.include,
    ),
)

PROJECT = Record(
    fields(
        version=Field(Text(numbers=True), obsolete="it is ignored, remove it"),
        name=Text(),
        include=INCLUDE,
        services=Named(SERVICE),
        models=Field(Anything(), refused=True),
        networks=Named(NETWORK),
        volumes=Named(VOLUME),
        secrets=Named(SECRET),
        configs=Named(CONFIG),
    )
)
