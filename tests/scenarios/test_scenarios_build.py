"""Images of a project: build with its options, pull policies, push and pull through a registry, `down --rmi`."""

import contextlib
import json
import re

import docker.errors
import pytest

from compose_kit import CURRENT, EVERY, Project, json_lines
from daemons import until

DOCKERFILE = """
    FROM busybox AS first
    ARG WORD=default
    RUN echo "$WORD" >/word
    LABEL stage=first
    CMD ["sleep", "1000"]
    STOPSIGNAL SIGKILL
    FROM first AS second
    RUN echo second >>/word
"""


def exists(project: Project, name: str) -> bool:
    try:
        project.client.api.inspect_image(name)
    except docker.errors.ImageNotFound:
        return False
    return True


@EVERY
def test_build_and_run_what_is_built(project: Project) -> None:
    project.file(DOCKERFILE, "app/Dockerfile")
    project.file(DOCKERFILE.replace("default", "other file"), "app/Other")
    project.file("""
        services:
          plain: {build: ./app}
          full:
            build:
              context: app
              dockerfile: Other
              target: first
              args: {WORD: "${WORD_ENV:-given}"}
              labels: {built.by: compose}
              extra_hosts: ["somewhere:10.1.1.1"]
              shm_size: 2m
              network: none
            image: ${NAMED}
    """)
    named = f"{project.name}-named:v1"
    given = {"NAMED": named}
    project.compose("build", env=given)
    built = f"{project.name}{'_' if project.program.name == 'v1' else '-'}plain"
    assert exists(project, built) and exists(project, named)
    assert project.client.api.inspect_image(named)["Config"]["Labels"].items() >= {
        "stage": "first", "built.by": "compose",
    }.items()  # fmt: skip
    assert project.containers() == []
    project.compose("up", "-d", env=given)
    assert project.inside("plain", "cat /word") == "default\nsecond"
    assert project.inside("full", "cat /word") == "given"
    ids = project.ids("plain", "full")
    project.compose("up", "-d", "--build", env=given)
    assert project.ids("plain", "full") == ids  # the same images: nothing to do
    project.file(DOCKERFILE.replace("default", "changed"), "app/Dockerfile")
    project.compose("up", "-d", env=given)
    assert project.ids("plain", "full") == ids  # nobody asked for a build
    project.compose("up", "-d", "--build", env=given)
    assert project.inside("plain", "cat /word") == "changed\nsecond"
    assert project.id("full") == ids["full"]
    project.compose("build", "--build-arg", "WORD=argued", "--no-cache", "-q", "full", env=given)
    project.compose("up", "-d", "--no-deps", "full", env=given)
    assert project.inside("full", "cat /word") == "argued"

    project.compose("down", "--rmi", "local", env=given)
    assert not exists(project, built) and exists(project, named)
    project.compose("up", "-d", "full", env=given)
    project.compose("down", "--rmi", "all", env=given)
    assert not exists(project, named)
    if project.program.name == "v1":  # which takes all the images of the file with it
        project.daemon.boxship("base", "busybox")


@CURRENT
def test_inline_dockerfiles_and_dependencies(project: Project) -> None:
    project.file("""
        services:
          base:
            build: {context: ., dockerfile_inline: "FROM busybox\\nRUN echo base >/made\\n"}
            image: "${COMPOSE_PROJECT_NAME}-base"
          app:
            depends_on: [base]
            build:
              context: .
              dockerfile_inline: |
                FROM busybox
                RUN echo app >/made
                CMD ["sleep", "1000"]
            stop_signal: SIGKILL
          broken: {build: {context: ., dockerfile_inline: "FROM busybox\\nRUN exit 3\\n"}, profiles: [broken]}
    """)
    if project.program.is_v2:  # which knows no inline files when it builds by the classic builder
        text = (project.folder / "compose.yaml").read_text()
        project.file("FROM busybox\nRUN echo base >/made\n", "Base")
        project.file('FROM busybox\nRUN echo app >/made\nCMD ["sleep", "1000"]\n', "App")
        project.file("FROM busybox\nRUN exit 3\n", "Broken")
        text = re.sub(r"dockerfile_inline: \|\n(?: {8}.*\n)+", "dockerfile: App\n", text)
        text = re.sub(r'dockerfile_inline: "[^"]*base[^"]*"', "dockerfile: Base", text)
        project.file(re.sub(r'dockerfile_inline: "[^"]*"', "dockerfile: Broken", text))
    project.compose("build", "--with-dependencies", "app")
    assert exists(project, f"{project.name}-base") and exists(project, f"{project.name}-app")
    project.compose("create", "--build", "app")
    assert project.states()["app1"] == "created"
    assert project.compose("up", "-d", "--no-build", "app")
    assert project.inside("app", "cat /made") == "app"
    assert "3" in project.fails("build", "broken")
    project.fails("up", "-d", "--build", "broken")
    assert project.containers("broken") == []
    images = json.loads(project.prints("images", "--format", "json"))
    assert f"{project.name}-app" in {entry["Repository"] for entry in images}


@EVERY
def test_push_and_pull_through_a_registry(project: Project, registry_address: str) -> None:
    name = f"{registry_address}/{project.name}/app:v1"
    project.file("FROM busybox\nRUN echo made >/made\nCMD sleep 1000\nSTOPSIGNAL SIGKILL\n", "Dockerfile")
    project.file(f"""
        services:
          app: {{build: ., image: "{name}"}}
          user: {{image: "{name}", depends_on: [app]}}
    """)
    project.compose("build", "app")
    project.compose("push", "app")
    project.client.api.remove_image(name)
    project.compose("pull", "app", "user")
    assert exists(project, name)
    digests = project.client.api.inspect_image(name)["RepoDigests"]
    assert digests and digests[0].startswith(f"{registry_address}/{project.name}/app@sha256:")
    project.client.api.remove_image(name)
    project.file(f"services: {{user: {{image: '{name}'}}}}")
    project.compose("up", "-d")  # what is missing is pulled
    assert project.inside("user", "cat /made") == "made"
    project.file(f"services: {{user: {{image: '{registry_address}/{project.name}/no:such'}}}}")
    project.fails("pull")
    if project.program.name != "v1":  # which fails all the same
        project.compose("pull", "--ignore-pull-failures")
    project.fails("up", "-d")


@pytest.mark.slow
@CURRENT
def test_pull_policies(project: Project, registry_address: str) -> None:
    name = f"{registry_address}/{project.name}/app:v1"
    project.file("FROM busybox\nCMD sleep 1000\nSTOPSIGNAL SIGKILL\n", "Dockerfile")
    project.file(f"services: {{app: {{build: ., image: '{name}'}}}}")
    project.compose("build", "--push")
    project.client.api.remove_image(name)
    project.file(f"""
        services:
          never: {{image: "{name}", pull_policy: never}}
          always: {{image: "{name}", pull_policy: always}}
          missing: {{image: "{name}", pull_policy: missing}}
          building: {{build: ., image: "{name}", pull_policy: build}}
    """)
    project.fails("up", "-d", "never")
    assert not exists(project, name)
    project.compose("up", "-d", "always")
    assert exists(project, name)
    project.compose("up", "-d", "never", "missing")
    assert {*project.states()} == {"always1", "missing1", "never1"}
    project.file("FROM busybox\nRUN echo newer >/newer\nCMD sleep 1000\nSTOPSIGNAL SIGKILL\n", "Dockerfile")
    project.compose("up", "-d", "building")
    assert project.inside("building", "cat /newer") == "newer"
    project.compose("up", "-d", "--pull", "always", "missing")
    assert project.inside("missing", "cat /newer") == "newer"  # the built-in registry has what is built under its name
    digest = project.client.api.inspect_image(name)["RepoDigests"][0].partition("@")[2]
    resolved = project.prints("config", "--resolve-image-digests")
    assert digest in resolved or project.program.name == "v2"  # of this age, which changes nothing


@CURRENT
def test_syncing_and_rebuilding(project: Project) -> None:
    project.file("FROM busybox\nCOPY src /app/src\nCMD sleep 1000\nSTOPSIGNAL SIGKILL\n", "Dockerfile")
    project.file("one\n", "src/page")
    project.file("kept out\n", "src/.hidden")
    project.file("""
        services:
          app:
            build: .
            develop:
              watch:
                - {action: sync, path: ./src, target: /app/src, ignore: [skipped/]}
                - {action: sync+restart, path: ./settings, target: /app/settings}
                - {action: rebuild, path: ./Dockerfile}
    """)
    project.file("a=1\n", "settings/file")
    project.compose("up", "-d", "--build")
    first = project.one("app")
    with project.started("watch", "--no-up") as watching:
        watching.says("atch")

        def seen(name: str, text: str, place: str) -> None:
            """A program that has only begun to look may miss a change; one that waits for quiet must be left alone."""
            for _ in range(5):
                project.file(text, name)
                with contextlib.suppress(AssertionError):
                    until(lambda: project.inside("app", f"cat {place}", check=False) == text.strip(), 5, "it is there")
                    return
            raise AssertionError(f"{name} does not come into the container: {watching.output()}")

        seen("src/page", "two\n", "/app/src/page")
        seen("src/deep/er", "new\n", "/app/src/deep/er")
        project.file("no\n", "src/skipped/file")
        (project.folder / "src/deep/er").unlink()
        until(lambda: "No such" in project.inside("app", "cat /app/src/deep/er", check=False), 30, "it is gone")
        assert project.inside("app", "ls /app/src/skipped", check=False).startswith("ls:")
        started = project.one("app")["State"]["StartedAt"]
        seen("settings/file", "a=2\n", "/app/settings/file")
        until(lambda: project.one("app")["State"]["StartedAt"] != started, 30, "it is restarted")
        assert project.id("app") == first["Id"]

        def rebuilt() -> bool:
            containers = project.containers("app")
            return len(containers) == 1 and containers[0]["Id"] != first["Id"] and containers[0]["State"]["Running"]

        project.file(
            "FROM busybox\nCOPY src /app/src\nRUN touch /new\nCMD sleep 1000\nSTOPSIGNAL SIGKILL\n", "Dockerfile"
        )
        until(rebuilt, 30, "it is made anew")
        assert project.inside("app", "ls /new; cat /app/src/page") == "/new\ntwo"
        seen("src/page", "three\n", "/app/src/page")


@pytest.mark.slow
@CURRENT
def test_every_image_of_the_project(project: Project) -> None:
    project.file("""
        services:
          a: {image: busybox, command: sleep 1000, stop_signal: SIGKILL, scale: 3}
          b: {image: "busybox:latest", command: sleep 1000, stop_signal: SIGKILL}
    """)
    project.compose("up", "-d")
    rows = json_lines(project.prints("images", "--format", "json"))
    assert len(rows) == 4 and {row["Tag"] for row in rows} == {"latest"}
    assert len({*project.prints("images", "-q").split()}) == 1
