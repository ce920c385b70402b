"""What is in the way of a project: ports, images, builds, networks and volumes of others. One error that names what and
why; what does not depend on it goes on; and when the cause is gone, the same call finishes it."""

import socket
from collections.abc import Callable

import pytest
from faults_compose import Victim

from daemons import free_port

QUICK = "image: busybox, command: sleep 1000, stop_signal: SIGKILL"


def errors(victim: Victim, *words: str) -> list[str]:
    """The errors of a call that has to fail."""
    done = victim.compose(*words, check=False)
    assert done.returncode == 1 and "Traceback" not in done.stderr, done
    return [line for line in done.stderr.splitlines() if line.startswith("boxship: ")]


def test_a_port_is_taken(victims: Callable[[], Victim]) -> None:
    """By a program of the machine, and by another project."""
    victim, other, port = victims(), victims(), free_port()
    victim.file(f"""
        services:
          web: {{{QUICK}, ports: ["127.0.0.1:{port}:80"]}}
          after: {{{QUICK}, depends_on: [web]}}
          free: {{{QUICK}}}
    """)
    with socket.socket() as place:
        place.bind(("127.0.0.1", port))
        place.listen()
        found = errors(victim, "up", "-d")
        assert len(found) == 1 and f"{victim.name}-web-1" in found[0] and str(port) in found[0], found
        assert victim.states() == {"web1": "created", "after1": "created", "free1": "running"}
        again = errors(victim, "up", "-d")
        assert len(again) == 1 and f"{victim.name}-web-1" in again[0] and str(port) in again[0], again
    other.file(f"services: {{x: {{{QUICK}, ports: ['127.0.0.1:{port}:80']}}}}")
    other.compose("up", "-d")
    found = errors(victim, "up", "-d")
    assert len(found) == 1 and "port is already allocated" in found[0] and f"{victim.name}-web-1" in found[0], found
    assert f"{other.name}-x-1" in victim.prints("why", "web")
    other.compose("down")
    victim.compose("up", "-d")
    assert set(victim.states().values()) == {"running"} and len(victim.containers()) == 3


@pytest.mark.slow
def test_images_and_builds_that_cannot_be_had(victim: Victim) -> None:
    """Nothing else is made before all images are there."""
    gone = "127.0.0.1:1/gone:1"
    victim.file(f"services: {{web: {{image: '{gone}'}}, other: {{{QUICK}}}}}")
    found = errors(victim, "up", "-d")
    assert len(found) == 1 and gone in found[0] and "connect" in found[0], found
    assert not victim.containers() and not victim.networks()
    assert gone in errors(victim, "up", "-d", "--pull", "never")[0]
    assert gone in errors(victim, "pull")[0]
    victim.client.images.get("busybox").tag("127.0.0.1:1/gone", "1")
    victim.file(f"services: {{web: {{image: '{gone}', command: sleep 9, stop_signal: KILL}}, other: {{{QUICK}}}}}")
    victim.compose("up", "-d")
    assert len(victim.states()) == 2
    victim.wipe()
    victim.client.images.remove(gone)

    built = (
        "services: {{web: {{build: {{dockerfile_inline: '{}'}}, command: sleep 9, stop_signal: KILL}}, other: {{{}}}}}"
    )
    victim.file(built.format(r"FROM busybox\nRUN echo out of luck; exit 3".replace(r"\n", "\n\n"), QUICK))
    found = errors(victim, "up", "-d")
    assert len(found) == 1 and f"{victim.name}-web" in found[0] and "3" in found[0], found
    assert not victim.containers() and not victim.networks()
    victim.file(built.format("FROM busybox", QUICK))
    victim.compose("up", "-d")
    assert len(victim.states()) == 2


@pytest.mark.slow
def test_networks_and_volumes_of_others(victim: Victim) -> None:
    """A network of another shape is refused before anything is touched; a volume is used as it is, with a warning."""
    victim.file(f"""
        services: {{web: {{{QUICK}, networks: [front, back], volumes: ["data:/data"]}}}}
        networks: {{front: , back: }}
        volumes: {{data: {{driver_opts: {{type: tmpfs, device: tmpfs, o: size=1m}}}}}}
    """)
    api = victim.client.api
    marked = {"com.docker.compose.project": victim.name, "com.docker.compose.network": "other"}
    network = api.create_network(f"{victim.name}_back", labels=marked)
    found = errors(victim, "up", "-d")
    assert len(found) == 1 and f"{victim.name}_back" in found[0] and "incorrect label" in found[0], found
    assert not victim.containers() and set(victim.networks()) == {f"{victim.name}_back"}
    api.remove_network(network["Id"])
    api.create_network(f"{victim.name}_back")
    api.create_volume(f"{victim.name}_data")
    done = victim.compose("up", "-d")
    said = done.stdout + done.stderr
    assert f"{victim.name}_back exists but was not created by compose" in said, said
    assert f'"{victim.name}_data" already exists but was not created by Docker Compose' in said, said
    assert victim.states() == {"web1": "running"}
    victim.compose("down", "-v")
    for name in (f"{victim.name}_back", f"{victim.name}_data"):
        left = [entry["Name"] for entry in api.networks()] + [entry["Name"] for entry in api.volumes()["Volumes"] or []]
        if name in left and name.endswith("_back"):
            api.remove_network(name)
        elif name in left:
            api.remove_volume(name)


@pytest.mark.slow
def test_a_container_of_this_name_is_somebody_elses(victim: Victim) -> None:
    victim.file(f"services: {{web: {{{QUICK}}}, other: {{{QUICK}}}}}")
    theirs = victim.client.containers.create("busybox", name=f"{victim.name}-web-1")
    try:
        found = errors(victim, "up", "-d")
        assert len(found) == 1 and f"{victim.name}-web-1" in found[0] and "in use" in found[0], found
        assert victim.states() == {"other1": "running"}
    finally:
        theirs.remove()
    victim.compose("up", "-d")
    assert victim.states() == {"other1": "running", "web1": "running"}


@pytest.mark.slow
def test_a_dependency_that_fails(victim: Victim) -> None:
    """What does not depend on it goes on, and what does is not started; the next call starts it when it can."""
    script = "test -e /data/right || { echo no data; exit 4; }"
    needs = "depends_on: {migrate: {condition: service_completed_successfully}}"
    victim.file(f"""
        services:
          migrate: {{image: busybox, command: ["sh", "-c", "{script}"], volumes: ["d:/data"]}}
          web: {{{QUICK}, volumes: ["d:/data"], {needs}}}
          free: {{{QUICK}, volumes: ["d:/data"]}}
        volumes: {{d: }}
    """)
    found = errors(victim, "up", "-d")
    assert len(found) == 1 and f"{victim.name}-migrate-1 exited (4)" in found[0], found
    assert victim.states() == {"migrate1": "exited", "web1": "created", "free1": "running"}
    victim.inside("free", "touch /data/right")
    victim.compose("up", "-d")
    assert victim.states() == {"migrate1": "exited", "web1": "running", "free1": "running"}
