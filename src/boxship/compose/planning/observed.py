"""What is there of a project, as a Host saw it. Labels are the contract between programs that speak Compose, so that a
project that one of them started is seen by the other."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

LABEL_PROJECT = "com.docker.compose.project"
LABEL_SERVICE = "com.docker.compose.service"
LABEL_NUMBER = "com.docker.compose.container-number"
LABEL_ONE_OFF = "com.docker.compose.oneoff"  # "True" or "False"
LABEL_HASH = "com.docker.compose.config-hash"
LABEL_IMAGE = "com.docker.compose.image"  # the image's id when the container was made
LABEL_DEPENDS = "com.docker.compose.depends_on"  # "db:service_healthy:false,cache:service_started:true"
LABEL_DIRECTORY = "com.docker.compose.project.working_dir"
LABEL_FILES = "com.docker.compose.project.config_files"  # joined by commas
LABEL_ENVIRONMENT = "com.docker.compose.project.environment_file"
LABEL_NETWORK = "com.docker.compose.network"
LABEL_VOLUME = "com.docker.compose.volume"
LABEL_VERSION = "com.docker.compose.version"
LABEL_REPLACE = "com.docker.compose.replace"  # the container that one under a temporary name is to replace
# Our engine's own (docs/services.md): one group for each service, so that replicas share ports and are drained.
LABEL_GROUP = "boxship.group"
LABEL_DRAIN = "boxship.drain"
LABEL_VIRTUAL = "boxship.virtual-address"
LABEL_GRANTS = "boxship.grants-hash"  # fingerprint of what its configurations and secrets hold


class SeenContainer(Struct, frozen=True, kw_only=True):
    """`state` is the engine's word (created, running, paused, restarting, removing, exited, dead); `health` is ""
    without a check, else starting, healthy or unhealthy."""

    id: str
    name: str
    service: str
    number: int = 1
    one_off: bool = False
    hash: str = ""
    image: str = ""  # id of the image it was made from
    image_name: str = ""
    state: str = "created"
    health: str = ""
    exit_code: int = 0
    created: int = 0  # nanoseconds since the epoch
    labels: Mapping[str, str] = field(default_factory=dict)
    networks: Mapping[str, str] = field(default_factory=dict)  # name → network id
    volumes: Mapping[str, str] = field(default_factory=dict)  # path in the container → volume's name
    ports: tuple[str, ...] = ()  # of the host that it holds: "8080/tcp"


class SeenNetwork(Struct, frozen=True, kw_only=True):
    """`key` is its name in the file, from its label; "" when no Compose program made it."""

    id: str
    name: str
    key: str = ""
    hash: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    containers: tuple[str, ...] = ()  # ids of those that are connected


class SeenVolume(Struct, frozen=True, kw_only=True):
    name: str
    key: str = ""
    hash: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    driver: str = "local"


class Observed(Struct, frozen=True, kw_only=True):
    """`networks` and `volumes` hold those of the project and the external ones that were asked for; `images` maps every
    image name of the project that is here to its id, `pulled` to when it was last pulled (nanoseconds since the epoch;
    0 or missing where that is not known)."""

    containers: tuple[SeenContainer, ...] = ()
    networks: tuple[SeenNetwork, ...] = ()
    volumes: tuple[SeenVolume, ...] = ()
    images: Mapping[str, str] = field(default_factory=dict)
    pulled: Mapping[str, int] = field(default_factory=dict)
