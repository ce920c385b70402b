"""The table of fields: a service."""

from __future__ import annotations

from boxship.compose import canonical_short as short
from boxship.compose.schema import (
    Anything,
    Field,
    Flag,
    Hosts,
    Many,
    Mode,
    Named,
    Pairs,
    Real,
    Record,
    Size,
    Span,
    Text,
    Whole,
    Words,
    fields,
)
from boxship.compose.schema_build import BUILD, DEVELOP, GRANTS, HOOK, ISOLATION, STRING_OR_LIST, STRINGS, ULIMITS
from boxship.compose.schema_deploy import DEPLOY, GPUS

WINDOWS = "Windows containers"
PULL_POLICY = Text(
    pattern=r"always|never|build|if_not_present|missing|refresh|daily|weekly|every_([0-9]+[wdhms])+",
    form="always, never, missing, build, daily, weekly or every_DURATION",
)
RESTART = Text(
    pattern=r"|no|always|unless-stopped|on-failure(:\d+)?", form="no, always, unless-stopped or on-failure[:TIMES]"
)
PLATFORM = Text(
    pattern=r"|[A-Za-z0-9_.()-]+(/[A-Za-z0-9_.-]+){0,2}", form='a platform such as "linux/amd64" or "linux/arm/v7"'
)
EXPOSED = Text(
    numbers=True, pattern=r"\d+(-\d+)?(/(tcp|udp|sctp))?", form='a port or a range such as "3000" or "8000-8010/udp"'
)

THROTTLE = Many(Record(fields(path=Text(), rate=Size()), required=("path", "rate")))

BLOCK_IO = Record(
    fields(
        device_read_bps=THROTTLE,
        device_read_iops=THROTTLE,
        device_write_bps=THROTTLE,
        device_write_iops=THROTTLE,
        weight=Whole(low=0, high=1000),
        weight_device=Many(Record(fields(path=Text(), weight=Whole(low=0, high=1000)), required=("path", "weight"))),
    )
)

CREDENTIAL_SPEC = Record(fields(config=Text(), file=Text(), registry=Text()))

DEPENDS_ON = Named(
    Record(
        fields(
            condition=Text(choices=("service_started", "service_healthy", "service_completed_successfully")),
            restart=Flag(),
            required=Flag(),
        ),
        required=("condition",),
    ),
    listed=short.dependency,
)

DEVICES = Many(
    Record(
        fields(source=Text(), target=Text(), permissions=Text(pattern="[rwm]*", form="some of the letters r, w and m")),
        required=("source",),
    ),
    short=short.devices,
    split=True,
)

ENV_FILE = Many(
    Record(fields(path=Text(), required=Flag(), format=Text(choices=("raw",))), required=("path",)),
    lone=True,
    short=short.env_files,
)

HEALTHCHECK = Record(
    fields(
        test=Words(shell=True),
        interval=Span(),
        timeout=Span(),
        start_period=Span(),
        start_interval=Span(),
        retries=Whole(low=0),
        disable=Flag(),
    )
)

LOGGING = Record(fields(driver=Text(), options=Pairs(listed=False)))

SERVICE_NETWORK = Record(
    fields(
        aliases=STRINGS,
        interface_name=Text(),
        ipv4_address=Text(),
        ipv6_address=Text(),
        link_local_ips=STRINGS,
        mac_address=Text(),
        driver_opts=Pairs(listed=False),
        priority=Whole(),
        gw_priority=Whole(),
    )
)

PORTS = Many(
    Record(
        fields(
            name=Text(),
            mode=Text(choices=("ingress", "host")),
            host_ip=Text(),
            target=Whole(low=1, high=65535),
            published=Text(numbers=True, pattern=r"\d*|\d+-\d+", form="a port or a range of ports"),
            protocol=Text(choices=("tcp", "udp", "sctp")),
            app_protocol=Text(),
        )
    ),
    short=short.ports,
    split=True,
)

MOUNTS = Many(
    Record(
        fields(
            type=Text(choices=("bind", "volume", "tmpfs", "image"), refused=("npipe", "cluster")),
            source=Text(),
            target=Text(),
            read_only=Flag(),
            consistency=Field(Text(), elsewhere="other systems than Linux"),
            bind=Record(
                fields(
                    propagation=Text(choices=("", *short.PROPAGATIONS)),
                    create_host_path=Flag(),
                    recursive=Text(choices=("enabled", "disabled", "writable", "readonly")),
                    selinux=Text(choices=("z", "Z")),
                )
            ),
            volume=Record(fields(labels=Pairs(), nocopy=Flag(), subpath=Text())),
            tmpfs=Record(fields(size=Size(), mode=Mode())),
            image=Record(fields(subpath=Text())),
        ),
        required=("type",),
    ),
    short=short.mounts,
    split=True,
)

SERVICE = Record(
    fields(
        annotations=Pairs(),
        attach=Flag(),
        blkio_config=BLOCK_IO,
        build=BUILD,
        cap_add=STRINGS,
        cap_drop=STRINGS,
        cgroup=Text(choices=("host", "private")),
        cgroup_parent=Text(),
        command=Words(),
        configs=GRANTS,
        container_name=Text(pattern=r"[a-zA-Z0-9][a-zA-Z0-9_.-]*", form="a name of letters, digits, _, . and -"),
        cpu_count=Field(Whole(low=0), elsewhere=WINDOWS),
        cpu_percent=Field(Real(low=0, high=100), elsewhere=WINDOWS),
        cpu_period=Whole(low=0, span=True),
        cpu_quota=Whole(low=-1, span=True),
        cpu_rt_period=Whole(low=0, span=True),
        cpu_rt_runtime=Whole(low=0, span=True),
        cpu_shares=Whole(low=0),
        cpus=Real(low=0),
        cpuset=Text(numbers=True),
        credential_spec=Field(CREDENTIAL_SPEC, refused=True),
        depends_on=DEPENDS_ON,
        deploy=DEPLOY,
        develop=DEVELOP,
        device_cgroup_rules=STRINGS,
        devices=DEVICES,
        dns=STRING_OR_LIST,
        dns_opt=STRINGS,
        dns_search=STRING_OR_LIST,
        domainname=Text(),
        entrypoint=Words(),
        env_file=ENV_FILE,
        environment=Pairs(inherit=True),
        expose=Many(EXPOSED, unique=True),
        extends=Record(fields(service=Text(), file=Text()), required=("service",), short=short.extends),
        external_links=STRINGS,
        extra_hosts=Hosts(),
        gpus=GPUS,
        group_add=Many(Text(numbers=True), unique=True),
        healthcheck=HEALTHCHECK,
        hostname=Text(),
        image=Text(),
        init=Flag(),
        ipc=Text(),
        isolation=ISOLATION,
        label_file=STRING_OR_LIST,
        labels=Pairs(),
        links=STRINGS,
        logging=LOGGING,
        mac_address=Text(),
        mem_limit=Size(),
        mem_reservation=Size(),
        mem_swappiness=Whole(low=-1, high=100),
        memswap_limit=Size(unlimited=True),
        models=Field(Anything(), refused=True),
        network_mode=Text(),
        networks=Named(SERVICE_NETWORK, listed=short.nothing, null=True),
        oom_kill_disable=Flag(),
        oom_score_adj=Whole(low=-1000, high=1000),
        pid=Text(null=True),
        pids_limit=Whole(low=-1),
        platform=PLATFORM,
        ports=PORTS,
        post_start=Many(HOOK),
        pre_stop=Many(HOOK),
        privileged=Flag(),
        profiles=STRINGS,
        provider=Field(Anything(), refused=True),
        pull_policy=PULL_POLICY,
        pull_refresh_after=Field(Span(), refused=True),
        read_only=Flag(),
        restart=RESTART,
        runtime=Text(),
        scale=Whole(low=0),
        secrets=GRANTS,
        security_opt=STRINGS,
        shm_size=Size(),
        stdin_open=Flag(),
        stop_grace_period=Span(),
        stop_signal=Text(numbers=True),
        storage_opt=Pairs(listed=False),
        sysctls=Pairs(),
        tmpfs=STRING_OR_LIST,
        tty=Flag(),
        ulimits=ULIMITS,
        use_api_socket=Flag(),
        user=Text(),
        userns_mode=Text(),
        uts=Text(),
        volumes=MOUNTS,
        volumes_from=STRINGS,
        working_dir=Text(),
    )
)
