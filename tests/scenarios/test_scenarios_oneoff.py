"""`run`: one-off containers beside the service's own."""

from compose_kit import CURRENT, EVERY, SECONDS, Project, label
from daemons import answers, free_port, until

FILE = """
    services:
      tool:
        image: busybox
        command: sh -c "echo default"
        stop_signal: SIGKILL
        environment: {{KIND: tool}}
        ports: ["127.0.0.1:{port}:80"]
        volumes: [/kept]
        restart: always
        depends_on: [store]
        networks: {{default: {{aliases: [alias]}}}}
      store: {{image: busybox, command: sleep 1000, stop_signal: SIGKILL}}
"""


@EVERY
def test_one_off_containers(project: Project) -> None:
    project.file(FILE.format(port=free_port()))
    volumes = {entry["Name"] for entry in project.client.api.volumes()["Volumes"] or []}
    ran = project.compose(
        "run", "--rm", "-T", "tool", "sh", "-c", "echo to stdout; echo to stderr >&2; exit 7", check=False
    )
    assert ran.returncode == 7 and ran.stdout.endswith("to stdout\n") and "to stderr" in ran.stderr
    assert project.states() == {"store1": "running"}  # what it depends on stays
    assert project.containers(one_off=True) == []
    if project.program.name != "v1":  # which leaves a one-off's anonymous volumes
        assert {entry["Name"] for entry in project.client.api.volumes()["Volumes"] or []} <= volumes
    assert project.prints("run", "--rm", "-T", "tool").endswith("default\n")
    assert project.prints("run", "--rm", "-T", "--no-deps", "tool", "cat", data="piped\n").endswith("piped\n")
    flags = ["-e", "KIND=other", "-e", "MORE", "-u", "1000", "-w", "/tmp", "-l", "mine=1", "--entrypoint", "sh"]
    flags += ["-v", f"{project.folder}:/folder:ro", "--name", f"{project.name}-named"]
    project.compose(
        "run", "-T", "-d", *flags, "tool", "-c", "id -u; pwd; echo $KIND $MORE; sleep 1000", env={"MORE": "m"}
    )
    (made,) = project.containers(one_off=True)
    assert made["Name"] == f"/{project.name}-named" and made["Config"]["Labels"]["mine"] == "1"
    assert label(made, "oneoff") == "True" and label(made, "service") == "tool"
    assert made["HostConfig"]["RestartPolicy"]["Name"] in ("", "no")
    assert not made["NetworkSettings"]["Ports"].get("80/tcp")
    assert "/folder" in {entry["Destination"] for entry in made["Mounts"]}
    assert "alias" not in (made["NetworkSettings"]["Networks"][f"{project.name}_default"]["Aliases"] or [])
    words = ["1000", "/tmp", "other", "m"]
    until(lambda: project.client.api.logs(made["Id"]).decode().split() == words, SECONDS, "it says all of it")
    assert project.name_of("tool") not in project.prints("ps")
    project.compose("up", "-d", "store")
    assert len(project.containers(one_off=True)) == 1
    project.compose("down", "-t", "0", "--remove-orphans")  # v2 leaves one-offs without it
    assert project.containers(one_off=True) == [] and project.networks() == {}


@EVERY
def test_one_offs_with_ports_and_aliases(project: Project) -> None:
    port, other = free_port(), free_port()
    project.file(FILE.format(port=port))
    serve = ["httpd", "-f", "-p", "80", "-h", "/etc"]
    project.compose("run", "-d", "-T", "--service-ports", "--use-aliases", "tool", *serve)
    until(lambda: answers(f"127.0.0.1:{port}/hostname"), SECONDS, "the first page")
    (made,) = project.containers(one_off=True)
    assert "alias" in made["NetworkSettings"]["Networks"][f"{project.name}_default"]["Aliases"]
    project.inside("store", "nslookup alias")
    project.compose("run", "-d", "-T", "--no-deps", "-p", f"127.0.0.1:{other}:80", "tool", *serve)
    until(lambda: answers(f"127.0.0.1:{other}/hostname"), SECONDS, "the second page")
    assert len(project.containers(one_off=True)) == 2
    project.compose("rm", "-f", "-s")
    project.compose("down", "-t", "0", "--remove-orphans")  # v2 leaves one-offs without it
    assert project.containers(one_off=True) == []


@EVERY
def test_a_one_off_on_a_terminal(project: Project) -> None:
    project.file("services: {tool: {image: busybox, command: sh, stop_signal: SIGKILL}}")
    with project.terminal("run", "--rm", "tool") as terminal:
        terminal.expect(r"/ # ")
        terminal.type("tty; stty size\n")
        terminal.expect(r"/dev/(pts/\d+|console)\r\n")
        terminal.expect(r"33 111\r\n")
        terminal.type("exit 6\n")
        assert terminal.code() == 6
    until(lambda: project.containers(one_off=True) == [], SECONDS, "it is removed")
    with project.terminal(
        "run", "--rm", "tool", "sh", "-c", "trap 'exit 9' INT; echo ready; while :; do sleep 0.05; done"
    ) as it:
        it.expect("ready")
        it.type("\x03")
        assert it.code() == 9


@CURRENT
def test_rights_of_a_one_off(project: Project) -> None:
    project.file("services: {tool: {image: busybox, cap_drop: [NET_RAW], stop_signal: SIGKILL, profiles: [p]}}")
    project.file(
        "services: {tool: {image: busybox, stop_signal: SIGKILL}, old: {image: busybox, command: sleep 9}}", "b.yaml"
    )
    project.compose("-f", "b.yaml", "up", "-d", "old")
    grep = ["sh", "-c", "grep CapBnd /proc/self/status"]
    plain = project.prints("run", "--rm", "-T", "tool", *grep).split()[-1]
    more = project.prints("run", "--rm", "-T", "--cap-add", "SYS_TIME", "--cap-drop", "CHOWN", "tool", *grep).split()[
        -1
    ]
    assert int(more, 16) == (int(plain, 16) | 1 << 25) & ~1
    project.compose("run", "--rm", "-T", "--remove-orphans", "tool", "true")
    if project.program.name == "boxship":  # the others forget it
        assert project.containers("old") == []
    assert "no such service" in project.fails("run", "--rm", "nothing").lower()
