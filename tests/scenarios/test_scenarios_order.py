"""What waits for what: depends_on with its conditions, health, `up --wait`, `wait`, hooks and restart policies."""

import time

from compose_kit import CURRENT, EVERY, LABEL, Project


@EVERY
def test_each_condition_holds_what_depends_on_it(project: Project) -> None:
    project.file("""
        services:
          last:
            image: busybox
            command: sleep 1000
            stop_signal: SIGKILL
            depends_on:
              started: {condition: service_started}
              healthy: {condition: service_healthy}
              done: {condition: service_completed_successfully}
          started: {image: busybox, command: sleep 1000, stop_signal: SIGKILL}
          healthy:
            image: busybox
            command: sh -c "sleep 0.4; touch /ready; exec sleep 1000"
            stop_signal: SIGKILL
            healthcheck: {test: test -e /ready, interval: 100ms, timeout: 5s, retries: 100}
          done: {image: busybox, command: sleep 0.3}
    """)
    begun = time.time()
    project.compose("up", "-d", "last")
    assert project.states() == {"done1": "exited", "healthy1": "running", "last1": "running", "started1": "running"}
    last = project.one("last")["State"]["StartedAt"]
    assert project.one("healthy")["State"]["Health"]["Status"] == "healthy"
    seen = project.client.api.events(
        since=begun, until=time.time(), decode=True, filters={"label": f"{LABEL}.project={project.name}"}
    )
    actions = [(event["Actor"]["Attributes"][f"{LABEL}.service"], event["Action"]) for event in seen]
    assert actions.index(("healthy", "health_status: healthy")) < actions.index(("last", "start"))
    assert project.one("done")["State"]["FinishedAt"] <= last
    assert project.one("started")["State"]["StartedAt"] <= last
    checked = project.one("healthy")["Config"]["Healthcheck"]
    assert checked["Test"] == ["CMD-SHELL", "test -e /ready"] and checked["Interval"] == 100_000_000


@EVERY
def test_conditions_that_never_come(project: Project) -> None:
    project.file("""
        x-quick: &quick {image: busybox, command: sleep 1000, stop_signal: SIGKILL}
        services:
          after_sick: {<<: *quick, depends_on: {sick: {condition: service_healthy}}}
          sick: {<<: *quick, healthcheck: {test: ["CMD", "false"], interval: 50ms, retries: 2}}
          after_failed: {<<: *quick, depends_on: {failed: {condition: service_completed_successfully}}}
          failed: {image: busybox, command: sh -c "exit 3"}
    """)
    text = project.fails("up", "-d", "after_sick")
    assert "sick" in text and "unhealthy" in text
    text = project.fails("up", "-d", "after_failed")
    assert "failed" in text
    if project.program.name != "v1":
        assert "3" in text
    waiting = {"after_failed1": "created", "after_sick1": "created"}  # or, by 1.29, not even made
    assert {**waiting, **project.states()} == {**waiting, "failed1": "exited", "sick1": "running"}


@CURRENT
def test_what_is_not_required_may_be_missing(project: Project) -> None:
    project.file("""
        x-quick: &quick {image: busybox, command: sleep 1000, stop_signal: SIGKILL}
        services:
          main:
            <<: *quick
            depends_on:
              optional: {condition: service_started, required: false}
              broken: {condition: service_completed_successfully, required: false}
          optional: {<<: *quick, profiles: [more]}
          broken: {image: busybox, command: "false"}
          chained: {<<: *quick, depends_on: {main: {condition: service_started, restart: true}}}
          loose: {<<: *quick, depends_on: {main: {condition: service_started, restart: false}}}
    """)
    project.compose("up", "-d")
    assert project.states() == {"broken1": "exited", "chained1": "running", "loose1": "running", "main1": "running"}
    before = {name: project.one(name)["State"]["StartedAt"] for name in ("chained", "loose", "main")}
    project.compose("restart", "-t", "0", "main")
    after = {name: project.one(name)["State"]["StartedAt"] for name in ("chained", "loose", "main")}
    assert after["main"] > before["main"] and after["chained"] > after["main"] and after["loose"] == before["loose"]
    project.compose("restart", "-t", "0", "--no-deps", "main")
    assert project.one("chained")["State"]["StartedAt"] == after["chained"]


@CURRENT
def test_up_and_wait(project: Project) -> None:
    project.file("""
        x-quick: &quick {image: busybox, stop_signal: SIGKILL}
        services:
          ready:
            <<: *quick
            command: sh -c "sleep 0.3; touch /ready; exec sleep 1000"
            healthcheck: {test: test -e /ready, interval: 100ms, retries: 100}
          plain: {<<: *quick, command: sleep 1000}
          ends:
            <<: *quick
            command: sh -c "until [ -e /end ]; do sleep 0.05; done; sleep 1.5; exit 4"
            profiles: [ends]
          never:
            <<: *quick
            command: sleep 1000
            healthcheck: {test: "false", interval: 50ms, retries: 1000}
            profiles: [never]
    """)
    project.compose("up", "--wait")
    assert project.one("ready")["State"]["Health"]["Status"] == "healthy"
    before = time.monotonic()
    done = project.compose("up", "--wait", "--wait-timeout", "1", "never", check=False)
    assert 0.9 < time.monotonic() - before < 10 and "Healthy" not in done.stderr
    # The stock program forgets why its wait ended when its clock does not strike in the middle of a question: once in
    # some fifty calls it ends with 0.
    assert done.returncode != 0 or project.program.is_v2
    project.compose("up", "-d", "ends")
    with project.started("wait", "ends") as waiting:
        project.inside("ends", "touch /end")
        assert waiting.code() == 4
    project.compose("up", "-d", "--force-recreate", "ends")
    with project.started("wait", "--down-project", "ends") as waiting:
        project.inside("ends", "touch /end")
        assert waiting.code() == 4
    assert project.containers() == []


@CURRENT
def test_start_interval_and_stop_grace(project: Project) -> None:
    project.file("""
        services:
          quick:
            image: busybox
            command: sleep 1000
            init: true
            healthcheck: {test: ["CMD", "true"], interval: 1h, start_period: 1m, start_interval: 100ms}
          stubborn:
            image: busybox
            command: sh -c "trap 'echo asked' USR1; echo up; while :; do sleep 0.05; done"
            stop_signal: SIGUSR1
            stop_grace_period: 1s
          none: {image: busybox, command: sleep 1000, stop_signal: SIGKILL, healthcheck: {disable: true}}
    """)
    project.compose("up", "-d")
    check = project.one("quick")["Config"]["Healthcheck"]
    assert (check["StartInterval"], check["Interval"]) == (100_000_000, 3_600_000_000_000)
    assert project.one("none")["Config"]["Healthcheck"]["Test"] == ["NONE"]
    project.says("stubborn", "up")
    before = time.monotonic()
    project.compose("stop")
    assert time.monotonic() - before < 9
    assert "asked" in project.log("stubborn")
    assert project.one("stubborn")["State"]["ExitCode"] == 137
    assert project.one("quick")["State"]["ExitCode"] == 143


@EVERY
def test_restart_policies(project: Project) -> None:
    project.file("""
        services:
          always: {image: busybox, command: sleep 1000, restart: always, stop_signal: SIGKILL}
          some: {image: busybox, command: sh -c "exit 9", restart: "on-failure:2"}
          unless: {image: busybox, command: sleep 1000, restart: unless-stopped, stop_signal: SIGKILL}
          never: {image: busybox, command: "true", restart: "no"}
    """)
    project.compose("up", "-d")
    policies = {name: project.one(name)["HostConfig"]["RestartPolicy"] for name in ("always", "some", "unless")}
    assert {name: policy["Name"] for name, policy in policies.items()} == {
        "always": "always", "some": "on-failure", "unless": "unless-stopped",
    }  # fmt: skip
    assert policies["some"]["MaximumRetryCount"] == 2
    project.becomes("some", "exited")
    assert project.one("some")["RestartCount"] == 2
    pid = project.one("always")["State"]["Pid"]
    project.inside("always", "kill -9 1", check=False)  # the kernel keeps a namespace's first process from its own
    project.client.api.exec_create(project.id("always"), ["true"])
    project.compose("kill", "-s", "KILL", "unless")
    project.becomes("unless", "exited")
    assert project.one("always")["State"]["Pid"] == pid
    project.becomes("never", "exited")
    assert project.one("never")["RestartCount"] == 0
