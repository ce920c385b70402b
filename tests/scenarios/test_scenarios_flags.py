"""Flags that no other scenario needs."""

import json

import pytest

from compose_kit import CURRENT, SECONDS, Project
from daemons import until

pytestmark = pytest.mark.slow


@CURRENT
def test_flags_of_what_looks_on(project: Project) -> None:
    project.file("""
        services:
          web: {image: busybox, command: sh -c "while date; do sleep 0.2; done", stop_signal: SIGKILL}
          gone: {image: busybox, command: sleep 1000, stop_signal: SIGKILL}
    """)
    project.compose("up", "-d")
    project.file(
        "services: {web: {image: busybox, command: sh -c 'while date; do sleep 0.2; done', stop_signal: SIGKILL}}"
    )
    assert project.name_of("gone") in project.prints("ps")
    assert project.name_of("gone") not in project.prints("ps", "--orphans=false")
    assert "while date; do sleep 0.2; done" in project.prints("ps", "--no-trunc")
    table = project.prints("ps", "--format", "table {{.Service}}\t{{.Status}}")
    assert table.splitlines()[0].split() == ["SERVICE", "STATUS"] and "Up" in table
    with project.started("events") as events:

        def told() -> bool:
            project.client.containers.get(project.id("web")).kill("SIGWINCH")
            return "container kill" in events.output()

        until(told, SECONDS, "a plain line for an event")
        assert project.name_of("web") in events.output()
    with project.started("stats", "--format", "{{.Name}} {{.PIDs}}") as stats:
        stats.says(project.name_of("web"), times=2)
    assert json.loads(project.prints("stats", "--no-stream", "--no-trunc", "--format", "json", "web"))[
        "ID"
    ] == project.id("web")
    privileged = project.prints("exec", "-T", "--privileged", "web", "grep", "CapEff", "/proc/self/status").split()[1]
    assert int(privileged, 16) & 1 << 21  # SYS_ADMIN
    project.compose("kill", "--remove-orphans")
    assert {"gone1": "exited", **project.states()} == {"gone1": "exited", "web1": "exited"}  # stopped, or gone as well
    assert project.name_of("web") in project.prints("stats", "-a", "--no-stream")


@CURRENT
def test_flags_of_up_and_create(project: Project) -> None:
    text = """
        services:
          one: {{image: busybox, command: sleep 1000, init: true, stop_grace_period: 1m, environment: {{A: "{value}"}}}}
    """
    project.file(text.format(value=1))
    project.compose("create", "--pull", "missing", "--quiet-pull", "--no-build")
    made = project.id("one")
    project.file(text.format(value=2))
    project.compose("create", "--no-recreate")
    assert project.id("one") == made
    project.compose("create")
    assert project.id("one") != made and project.states() == {"one1": "created"}
    project.compose("up", "-d", "-t", "0")
    project.compose("--ansi", "never", "--progress", "plain", "up", "-d", "--force-recreate", "--timeout", "0")
    assert project.states() == {"one1": "running"}
    assert project.fails("up", "-d", "--abort-on-container-exit")
    assert project.fails("up", "--no-such-flag")
    assert project.fails("up", "--force-recreate", "--no-recreate")
    project.compose("--parallel", "1", "--progress", "quiet", "restart", "-t", "1")
    project.compose("down", "--timeout", "1")
    assert project.containers() == []


@CURRENT
def test_flags_of_images(project: Project, registry_address: str) -> None:
    name = f"{registry_address}/{project.name}"
    project.file("FROM busybox\nARG A=1\nRUN echo $A >/a\nCMD sleep 1000\nSTOPSIGNAL SIGKILL\n", "Dockerfile")
    project.file(f"""
        services:
          base: {{build: ., image: "{name}/base"}}
          app: {{build: {{context: ., no_cache: true}}, image: "{name}/app", depends_on: [base]}}
          never: {{build: ., image: "127.0.0.1:1/no/where", profiles: [never]}}
    """)
    project.compose("build", "-q", "--memory", "100m")
    project.compose("push", "-q", "--include-deps", "app")
    project.fails("--profile", "never", "build", "--push", "never")
    project.compose("--profile", "never", "push", "--ignore-push-failures", "never")
    for part in ("base", "app"):
        project.client.api.remove_image(f"{name}/{part}")
    project.compose("pull", "-q", "--include-deps", "app")
    assert {*project.prints("config", "--images").split()} == {f"{name}/base", f"{name}/app"}
    assert project.client.api.inspect_image(f"{name}/base")
    project.client.api.remove_image(f"{name}/base")
    project.compose("pull", "--policy", "missing")
    project.compose("pull", "--ignore-buildable")
    project.compose("up", "-d", "--pull", "never", "app")
    assert project.inside("app", "cat /a") == "1"


@CURRENT
def test_up_with_watch(project: Project) -> None:
    project.file("FROM busybox\nCOPY src /src\nCMD sleep 1000\nSTOPSIGNAL SIGKILL\n", "Dockerfile")
    project.file("one\n", "src/page")
    project.file("""
        services:
          app: {build: ., develop: {watch: [{action: sync, path: src, target: /src}]}}
    """)
    with project.started("up", "--build", "--watch") as up:
        until(lambda: project.states() == {"app1": "running"}, 40, "it runs")
        up.says("atch")
        number = 0

        def synced() -> bool:
            nonlocal number
            if number % 100 == 0:  # the first change may come before it looks
                project.file("two\n", "src/page")
            number += 1
            return project.inside("app", "cat /src/page") == "two"

        until(synced, 30, "the change is in the container")
