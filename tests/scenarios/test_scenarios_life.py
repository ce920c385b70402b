"""A project's life through every verb, from up to down, by each Compose program."""

import json
import re

import pytest

from compose_kit import ALWAYS, CURRENT, EVERY, LABEL, SECONDS, Program, Project, json_lines, label, number
from daemons import Daemon, answers, free_port, until

TWO = """
    services:
      web:
        image: busybox
        command: sh -c "echo serving; exec httpd -f -p 80 -h /etc"
        stop_signal: SIGKILL
        ports: ["127.0.0.1:{port}:80"]
        depends_on: [store]
        labels: {{kind: front}}
      store:
        image: busybox:latest
        command: sh -c "echo stored; exec sleep 1000"
        stop_signal: SIGKILL
        volumes: ["data:/data", /anonymous]
    volumes:
      data: {{labels: {{keep: me}}}}
"""


@ALWAYS
def test_up_looks_and_down(project: Project) -> None:
    port = free_port()
    project.file(TWO.format(port=port))
    project.compose("up", "-d")
    assert project.states() == {"store1": "running", "web1": "running"}
    until(lambda: answers(f"127.0.0.1:{port}/hostname"), SECONDS, "the page")
    web, store = project.one("web"), project.one("store")
    assert web["Name"] == f"/{project.name_of('web')}"
    assert web["Config"]["Labels"]["kind"] == "front"
    for name in (
        "config-hash",
        "project",
        "service",
        "container-number",
        "project.working_dir",
        "project.config_files",
    ):
        assert label(web, name), name
    assert label(web, "project.working_dir") == str(project.folder)
    assert list(web["NetworkSettings"]["Networks"]) == [f"{project.name}_default"]
    assert "web" in web["NetworkSettings"]["Networks"][f"{project.name}_default"]["Aliases"]
    assert web["State"]["StartedAt"] > store["State"]["StartedAt"]
    network = project.networks()[f"{project.name}_default"]
    assert network["Labels"][f"{LABEL}.network"] == "default"
    volume = project.volumes()[f"{project.name}_data"]
    assert (volume["Labels"]["keep"], volume["Labels"][f"{LABEL}.volume"]) == ("me", "data")
    assert project.inside("web", "nslookup store | grep -c Address") != "0"

    assert project.prints("ps", "-q", "web").strip() == web["Id"]
    assert {*project.prints("ps", "-q").split()} == {web["Id"], store["Id"]}
    assert {*project.prints("ps", "--services").split()} == {"web", "store"}
    table = project.prints("ps")
    assert project.name_of("web") in table and f"127.0.0.1:{port}->80/tcp" in table
    assert project.prints("port", "web", "80").strip() == f"127.0.0.1:{port}"
    assert "stored" in project.prints("logs", "store") and "serving" not in project.prints("logs", "store")
    assert "httpd -f" in project.prints("top", "web")
    assert "busybox" in project.prints("images")
    image = web["Image"].removeprefix("sha256:")
    assert {text.removeprefix("sha256:")[:12] for text in project.prints("images", "-q").split()} == {image[:12]}

    again = project.ids("web", "store")
    project.compose("up", "-d")
    assert project.ids("web", "store") == again
    project.compose("down")
    assert project.containers() == [] and project.networks() == {}
    assert list(project.volumes()) == [f"{project.name}_data"]
    project.compose("up", "-d", "store")
    assert project.states() == {"store1": "running"}
    project.compose("down", "-v")
    assert project.volumes() == {} and project.containers() == []


@EVERY
def test_states_of_a_project(project: Project) -> None:
    project.file("""
        services:
          a: &quick {image: busybox, command: sleep 1000, stop_signal: SIGKILL, volumes: [/kept]}
          b: {<<: *quick, depends_on: [a]}
    """)
    project.compose("create") if project.program.name != "v1" else project.compose("up", "--no-start")
    assert project.states() == {"a1": "created", "b1": "created"}
    project.compose("start", "b")
    ids = project.ids("a", "b")
    project.compose("start")
    assert project.states() == {"a1": "running", "b1": "running"}
    project.compose("pause")
    assert project.states() == {"a1": "paused", "b1": "paused"}
    project.compose("unpause", "a")
    assert project.states() == {"a1": "running", "b1": "paused"}
    project.compose("unpause", "b")
    before = project.one("a")["State"]["StartedAt"], project.one("b")["State"]["StartedAt"]
    project.compose("restart", "-t", "0", "b")
    after = project.one("a")["State"]["StartedAt"], project.one("b")["State"]["StartedAt"]
    assert after[0] == before[0] and after[1] > before[1]
    project.compose("restart", "-t", "0")
    assert project.one("a")["State"]["StartedAt"] > before[0]
    project.compose("stop", "-t", "0", "a")
    assert project.states() == {"a1": "exited", "b1": "running"}
    project.compose("kill", "-s", "SIGUSR1", "b")
    project.becomes("b", "running")  # init ignores it
    project.compose("kill")
    assert project.states() == {"a1": "exited", "b1": "exited"}
    project.compose("start", "a")
    assert project.ids("a", "b") == ids
    kept = project.one("b")["Mounts"][0]["Name"]
    project.compose("rm", "-f")
    assert project.states() == {"a1": "running"}
    assert kept in {entry["Name"] for entry in project.client.api.volumes()["Volumes"]}
    project.client.api.remove_volume(kept)
    kept = project.one("a")["Mounts"][0]["Name"]
    project.compose("rm", "-f", "-s", "-v", "a")
    assert project.containers() == []
    assert kept not in {entry["Name"] for entry in project.client.api.volumes()["Volumes"] or []}


@EVERY
def test_logs_and_exec(project: Project) -> None:
    project.file("""
        services:
          talk:
            image: busybox
            command: sh -c "for n in 1 2 3 4; do echo line $$n; done; echo wrong >&2; exec sleep 1000"
            stop_signal: SIGKILL
            environment: {GREETING: hello}
            working_dir: /tmp
          other: {image: busybox, command: sh -c "echo other; exec sleep 1000", stop_signal: SIGKILL}
    """)
    project.compose("up", "-d")
    project.says("talk", "wrong")
    project.says("other", "other")
    printed = project.prints("logs", "--no-color")
    assert re.search(rf"^{project.program.between.join(('talk', '1'))} +\| line 1$", printed, re.M), printed
    assert re.search(r"^other.1 +\| other$", printed, re.M)
    last = project.prints("logs", "--no-color", "--tail", "2", "talk").splitlines()[-2:]
    assert sorted(line.split("|")[1].strip() for line in last) == ["line 4", "wrong"]
    assert project.prints("logs", "--no-log-prefix", "other").splitlines()[-1] == "other"
    assert re.search(r"\| \d{4}-\d\d-\d\dT[\d:.]+Z other", project.prints("logs", "-t", "--no-color", "other"))

    assert project.prints("exec", "-T", "talk", "sh", "-c", "echo $GREETING; pwd") == "hello\n/tmp\n"
    with_flags = ["exec", "-T", "-e", "GREETING=bye", "-w", "/etc", "-u", "1000", "talk", "sh", "-c"]
    assert project.prints(*with_flags, "echo $GREETING; pwd; id -u") == "bye\n/etc\n1000\n"
    assert project.compose("exec", "-T", "talk", "sh", "-c", "exit 7", check=False).returncode == 7
    split = project.compose("exec", "-T", "talk", "sh", "-c", "echo out; echo err >&2")
    assert split.stdout == "out\n" and "err" in split.stderr
    assert project.prints("exec", "-T", "talk", "cat", data="through\n") == "through\n"
    project.compose("exec", "-d", "talk", "touch", "/tmp/made")
    assert project.inside("talk", "until [ -e /tmp/made ]; do usleep 10000; done; echo there") == "there"
    project.fails("exec", "-T", "nobody", "true")
    with project.terminal("exec", "talk", "sh") as terminal:
        terminal.expect(r"/tmp # ")
        terminal.type("tty; stty size; exit 5\n")
        terminal.expect(r"/dev/pts/\d+\r\n")
        terminal.expect(r"33 111\r\n")
        assert terminal.code() == 5


@EVERY
def test_scale_and_numbers(project: Project) -> None:
    project.file("""
        services:
          many:
            image: busybox
            command: sh -c "hostname; exec sleep 1000"
            stop_signal: SIGKILL
            ports: ["80"]
          one: {image: busybox, command: sleep 1000, stop_signal: SIGKILL}
    """)
    scale = ("up", "-d", "--scale") if project.program.name == "v1" else ("up", "-d", "--no-recreate", "--scale")
    project.compose(*scale, "many=3")
    assert [number(entry) for entry in project.containers("many")] == [1, 2, 3]
    first = [entry["Id"] for entry in project.containers("many")]
    addresses = project.inside("one", "nslookup many | sed -n '4,$p' | grep -c 'Address'")
    assert int(addresses) == 3
    ports = {project.prints("port", "--index", str(which), "many", "80").strip() for which in (1, 2, 3)}
    assert len(ports) == 3 and all(port.startswith("0.0.0.0:") for port in ports)
    host = project.prints("exec", "-T", "--index", "2", "many", "hostname").strip()
    assert project.containers("many")[1]["Config"]["Hostname"] == host
    project.compose(*scale, "many=1")
    assert [entry["Id"] for entry in project.containers("many")] == first[:1]
    if project.program.name != "v1":
        project.compose("scale", "many=2", "one=0")
        assert project.states() == {"many1": "running", "many2": "running"}
    project.compose("stop", "-t", "0")
    project.compose("up", "-d", "--scale", "many=2")
    assert [entry["State"]["Status"] for entry in project.containers("many")] == ["running", "running"]
    assert project.containers("many")[0]["Id"] == first[0]


@pytest.mark.parametrize("program", ["boxship"], indirect=True)
def test_a_project_of_several_programs(project: Project, host: Daemon) -> None:
    project.file(TWO.format(port=free_port()))
    stock = Project(Program("v2"), host, project.client, project.folder, project.name)
    assert stock.program.missing(host) == ""
    project.compose("up", "-d")
    ids = project.ids("web", "store")
    stock.compose("up", "-d")
    assert project.ids("web", "store") == ids
    stock.compose("up", "-d", "--force-recreate")
    ids = project.ids("web", "store")
    project.compose("up", "-d")
    assert project.ids("web", "store") == ids
    assert stock.prints("ps", "-q").split() == project.prints("ps", "-q").split()
    stock.compose("up", "-d", "--scale", "store=2")
    project.compose("up", "-d", "--scale", "store=3")
    assert [number(entry) for entry in project.containers("store")] == [1, 2, 3]
    project.compose("down", "-v")
    assert project.containers() == [] and project.volumes() == {} and project.networks() == {}


@CURRENT
def test_formats(project: Project) -> None:
    port = free_port()
    project.file(TWO.format(port=port))
    project.compose("up", "-d")
    rows = {row["Service"]: row for row in json_lines(project.prints("ps", "--format", "json"))}
    web = rows["web"]
    assert web["Name"] == project.name_of("web") and web["State"] == "running" and web["Project"] == project.name
    assert web["Publishers"][0] == {
        "URL": "127.0.0.1", "TargetPort": 80, "PublishedPort": port, "Protocol": "tcp",
    }  # fmt: skip
    names = project.prints("ps", "--format", "{{.Name}} {{.State}}").splitlines()
    assert sorted(names) == [f"{project.name_of('store')} running", f"{project.name_of('web')} running"]
    project.compose("stop", "-t", "0", "store")
    assert project.prints("ps", "--services").split() == ["web"]
    assert project.prints("ps", "-a", "--status", "exited", "--services").split() == ["store"]
    assert project.prints("ps", "-a", "--filter", "status=exited", "-q").strip() == project.id("store")
    images = json.loads(project.prints("images", "--format", "json"))
    assert {entry["Repository"] for entry in images} == {"busybox"}

    listed = {row["Name"]: row for row in json.loads(project.prints("ls", "-a", "--format", "json"))}
    assert listed[project.name]["Status"] == "exited(1), running(1)"
    assert listed[project.name]["ConfigFiles"] == str(project.folder / "compose.yaml")
    assert project.prints("ls", "-q", "--filter", f"name={project.name}").split() == [project.name]
    stats = json_lines(project.prints("stats", "--no-stream", "--format", "json"))
    assert [entry["Name"] for entry in stats] == [project.name_of("web")]
    assert project.prints("version", "--short").strip()[0].isdigit()
    assert json.loads(project.prints("version", "--format", "json"))["version"]
    project.compose("kill")
    assert project.name not in project.prints("ls")
    assert project.name in project.prints("ls", "-a")
