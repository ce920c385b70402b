"""What a second `up` does: recreate what changed and nothing else, orphans, profiles, volumes that are kept, scales."""

from compose_kit import CURRENT, EVERY, Project, label, number

ABC = """
    x-quick: &quick {{image: busybox, command: sleep 1000, stop_signal: SIGKILL}}
    services:
      a: {{<<: *quick, environment: {{VALUE: "{a}"}}, volumes: [/anonymous]}}
      b: {{<<: *quick, environment: {{VALUE: "{b}"}}, depends_on: [a]}}
      c: *quick
"""


@EVERY
def test_only_what_changed_is_made_anew(project: Project) -> None:
    project.file(ABC.format(a=1, b=1))
    project.compose("up", "-d")
    first = project.ids("a", "b", "c")
    volume = project.one("a")["Mounts"][0]["Name"]
    project.inside("a", "echo kept >/anonymous/file")

    project.file(ABC.format(a=2, b=1))
    project.compose("up", "-d")
    second = project.ids("a", "b", "c")
    assert second["a"] != first["a"] and second["c"] == first["c"]
    if project.program.name == "boxship":  # the others make anew what depends on it
        assert second["b"] == first["b"]
    assert project.one("a")["Name"] == f"/{project.name_of('a')}"
    assert "VALUE=2" in project.one("a")["Config"]["Env"]
    assert project.one("a")["Mounts"][0]["Name"] == volume
    assert project.inside("a", "cat /anonymous/file") == "kept"
    assert len(project.containers()) == 3

    project.compose("up", "-d", "--no-recreate", "b")
    project.file(ABC.format(a=3, b=2))
    project.compose("up", "-d", "--no-recreate")
    assert project.ids("a", "b", "c") == second
    project.compose("up", "-d", "--no-deps", "b")
    third = project.ids("a", "b")
    assert third["a"] == second["a"] and third["b"] != second["b"]
    project.compose("up", "-d", "--force-recreate", "--no-deps", "-V", "a")
    assert project.id("a") != third["a"]
    assert project.one("a")["Mounts"][0]["Name"] != volume
    assert project.inside("a", "ls /anonymous") == ""
    everything = project.ids("a", "b", "c")
    project.compose("up", "-d", "--force-recreate")
    assert not set(project.ids("a", "b", "c").values()) & set(everything.values())


@EVERY
def test_orphans(project: Project) -> None:
    project.file(ABC.format(a=1, b=1))
    project.compose("up", "-d")
    ids = project.ids("a", "b", "c")
    project.file("services: {a: {image: busybox, command: sleep 1000, stop_signal: SIGKILL}}")
    warned = project.compose("up", "-d")
    assert "orphan" in (warned.stderr + warned.stdout).lower()
    assert project.ids("b", "c") == {"b": ids["b"], "c": ids["c"]}
    project.compose("up", "-d", "--remove-orphans")
    assert project.states() == {"a1": "running"}
    project.file(ABC.format(a=1, b=1))
    project.compose("up", "-d")
    project.file("services: {a: {image: busybox, command: sleep 1000, stop_signal: SIGKILL}}")
    told = project.compose("down", check=False)
    assert "b1" in project.states() and "a1" not in project.states(), told
    project.compose("down", "--remove-orphans")
    assert project.containers() == [] and project.networks() == {}


@EVERY
def test_profiles(project: Project) -> None:
    project.file("""
        x-quick: &quick {image: busybox, command: sleep 1000, stop_signal: SIGKILL}
        services:
          always: *quick
          debug: {<<: *quick, profiles: [debug, all]}
          job: {<<: *quick, profiles: [job], depends_on: [always]}
    """)
    project.compose("up", "-d")
    assert project.states() == {"always1": "running"}
    project.compose("--profile", "debug", "up", "-d")
    assert project.states() == {"always1": "running", "debug1": "running"}
    project.compose("up", "-d", "job")  # naming a service is enough
    assert set(project.states()) == {"always1", "debug1", "job1"}
    assert {*project.prints("config", "--services", env={"COMPOSE_PROFILES": "job,debug"}).split()} == {
        "always", "debug", "job",
    }  # fmt: skip
    project.compose("--profile", "job", "stop", "-t", "0", "job")
    assert project.states() == {"always1": "running", "debug1": "running", "job1": "exited"}
    project.compose("--profile", "debug", "--profile", "job", "down")
    assert project.containers() == []


@CURRENT
def test_scales_and_dependants(project: Project) -> None:
    project.file("""
        x-quick: &quick {image: busybox, command: sleep 1000, stop_signal: SIGKILL}
        services:
          many: {<<: *quick, deploy: {replicas: 3}}
          other: {<<: *quick, scale: 2, depends_on: [many]}
    """)
    project.compose("up", "-d")
    assert [number(entry) for entry in project.containers("many")] == [1, 2, 3]
    assert [number(entry) for entry in project.containers("other")] == [1, 2]
    kept = {entry["Id"] for entry in project.containers()}
    project.compose("up", "-d", "--scale", "many=4")
    assert {entry["Id"] for entry in project.containers()} > kept
    project.compose("up", "-d")
    assert len(project.containers("many")) == 3
    project.client.api.remove_container(project.containers("many")[0]["Id"], force=True)
    project.compose("up", "-d")
    assert len(project.containers("many")) == 3
    project.compose("up", "-d", "--always-recreate-deps", "--force-recreate", "other")
    assert not {entry["Id"] for entry in project.containers("other")} & kept
    project.compose("down")
    project.compose("up", "--no-start")
    assert set(project.states().values()) == {"created"}
    project.compose("create", "--scale", "many=1", "--force-recreate")
    assert set(project.states()) == {"many1", "other1", "other2"} or len(project.containers("many")) == 1
    project.compose("up", "-d", "--pull", "never", "--no-build", "--quiet-pull")
    assert set(project.states().values()) == {"running"}


@CURRENT
def test_what_dry_run_shows_and_does_not_do(project: Project) -> None:
    project.file(ABC.format(a=1, b=1))
    project.compose("--dry-run", "up", "-d")
    assert project.containers() == [] and project.networks() == {}
    project.compose("up", "-d")
    ids = project.ids("a", "b", "c")
    project.compose("--dry-run", "down")
    assert project.ids("a", "b", "c") == ids
    assert label(project.one("a"), "config-hash") in project.prints("config", "--hash", "a")
    hashes = dict(line.split() for line in project.prints("config", "--hash", "*").splitlines())
    assert set(hashes) == {"a", "b", "c"}
