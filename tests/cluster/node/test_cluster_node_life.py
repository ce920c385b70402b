"""A pod's life as a function: what is next, and what the API is told."""

import msgspec
import pytest
from life_kit import NOW, Play, one, pod_of

from boxship.cluster.node.life.values import Ending, Verdict
from boxship.cluster.node.runtime import CREATED
from boxship.cluster.objects import Object


def test_a_pod_begins_with_its_sandbox_and_ends_with_everything() -> None:
    play = Play(pod_of(one()))
    assert play.step() == ["sandbox"]
    assert play.state()["state"] == {"waiting": {"reason": "ContainerCreating"}}
    assert play.step() == ["start a"]
    status = play.settle()
    assert status["phase"] == "Running" and status["podIP"] == "10.0.0.1"
    assert play.state()["ready"] and play.condition("Ready")["status"] == "True"
    play.delete()
    assert play.step() == ["leave"]
    assert play.step() == ["stop a"]
    assert play.step() == ["finish"]


def test_init_containers_keep_the_others_waiting() -> None:
    play = Play(pod_of(one("main"), initContainers=[one("first"), one("second")]))
    play.settle()
    assert play.done == ["sandbox", "start first"]
    assert play.state("main")["state"]["waiting"]["reason"] == "PodInitializing"
    assert play.condition("Initialized")["message"] == "containers with incomplete status: [first second]"
    play.end("first-0")
    play.settle()
    play.end("second-0")
    status = play.settle()
    assert play.done[2:] == ["start second", "start main"]
    assert status["phase"] == "Running" and play.condition("Initialized")["status"] == "True"


@pytest.mark.parametrize(("policy", "phase"), [("Never", "Failed"), ("OnFailure", "Pending"), ("Always", "Pending")])
def test_an_init_container_that_fails(policy: str, phase: str) -> None:
    play = Play(pod_of(one("main"), initContainers=[one("first")], restartPolicy=policy))
    play.settle()
    play.end("first-0", 1)
    assert play.settle()["phase"] == phase
    assert ("start first" in play.done[2:]) == (policy != "Never")
    assert "start main" not in play.done


def test_a_sidecar_lets_the_next_begin_when_it_has_started_and_ends_last() -> None:
    side = one("side", restartPolicy="Always", startupProbe={"exec": {}})
    late = one("late", restartPolicy="Always")
    play = Play(pod_of(one("main"), initContainers=[side, late]))
    play.settle()
    assert play.done == ["sandbox", "start side"]
    play.verdicts["side-0"] = Verdict(started=True)
    play.settle()
    assert play.done[2:] == ["start late", "start main"]
    play.end("side-0", 1)
    play.settle()
    assert play.done[-1] == "start side"
    play.delete()
    play.settle()
    assert play.done[-4:] == ["stop main", "stop late", "stop side", "finish"]


def test_a_sidecar_that_keeps_ending_holds_up_nobody_who_has_begun() -> None:
    side = one("side", restartPolicy="Always")
    play = Play(pod_of(one("main"), initContainers=[side, one("first"), one("second")]))
    play.settle()
    for attempt in range(2):
        play.end(f"side-{attempt}", 1)
        play.settle()
    assert play.done == ["sandbox", "start side", "start first", "start side"]  # now it has to wait
    play.end("first-0")
    play.settle()
    play.end("second-0")
    play.settle()
    assert play.done[4:] == ["start second", "start main"]


def test_a_pod_whose_containers_are_through_ends_its_sidecars() -> None:
    play = Play(pod_of(one("main"), initContainers=[one("side", restartPolicy="Always")], restartPolicy="Never"))
    play.settle()
    play.end("main-0")
    status = play.settle()
    assert play.done[-2:] == ["stop side", "clean"]
    assert status["phase"] == "Succeeded" and play.condition("Ready")["reason"] == "PodCompleted"


def test_a_container_that_keeps_ending_waits_longer_each_time() -> None:
    play = Play(pod_of(one()))
    play.settle()
    waits = []
    for number in range(8):
        play.end(f"a-{number}", 1)
        before = play.now
        while "start a" not in play.step():
            again = play.look().again
            assert play.state()["state"]["waiting"]["reason"] == "CrashLoopBackOff"
            play.now = again
        waits.append(round(play.now - before))
    assert waits == [0, 10, 20, 40, 80, 160, 300, 300]
    play.settle()
    assert play.state()["restartCount"] == 8 and len(play.runs) == 2
    play.now += 700
    play.end("a-8", 1)
    assert "start a" in play.step()


def test_a_start_that_fails_counts_as_an_end() -> None:
    play = Play(pod_of(one()))
    play.settle()
    waits = []
    for number in range(4):
        play.end(f"a-{number}", 127, reason="StartError", started_at=0)
        play.fail("a", "RunContainerError", 1.0)
        before, shown = play.now, []
        while "start a" not in play.step():
            shown.append(play.state()["state"]["waiting"]["reason"])
            play.now = play.look().again
        assert shown == (["RunContainerError", "CrashLoopBackOff"] if number else [])
        waits.append(round(play.now - before))
    assert waits == [0, 10, 20, 40]
    last = play.state()["lastState"]["terminated"]
    assert (last["reason"], last["startedAt"]) == ("StartError", "1970-01-01T00:00:00Z")


@pytest.mark.parametrize(
    ("policy", "own", "rules", "code", "starts"),
    [
        ("Never", None, None, 1, False),
        ("OnFailure", None, None, 0, False),
        ("OnFailure", None, None, 1, True),
        ("Never", "Always", None, 0, True),
        ("Always", "Never", None, 1, False),
        ("Never", "Never", [42], 42, True),
        ("Never", "Never", [42], 1, False),
    ],
)
def test_who_is_started_again(policy: str, own: str | None, rules: list[int] | None, code: int, starts: bool) -> None:
    fields: Object = {"restartPolicy": own} if own else {}
    if rules:
        fields["restartPolicyRules"] = [{"action": "Restart", "exitCodes": {"operator": "In", "values": rules}}]
    play = Play(pod_of(one(**fields), restartPolicy=policy))
    play.settle()
    play.end("a-0", code)
    play.settle()
    assert (play.done.count("start a") == 2) == starts


def test_a_rule_may_restart_all() -> None:
    rule = {"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [9]}}
    play = Play(
        pod_of(
            one("a", restartPolicy="Never", restartPolicyRules=[rule]),
            one("b"),
            initContainers=[one("first")],
            restartPolicy="Never",
        )
    )
    play.settle()
    play.end("first-0")
    play.settle()
    play.end("a-0", 9)
    play.settle()
    assert play.done[-2:] == ["stop b", "start first"]
    play.end("first-1")
    assert play.settle()["phase"] == "Running"
    assert play.done[-2:] == ["start a", "start b"]


@pytest.mark.parametrize(
    ("reason", "image", "shown"),
    [
        ("ErrImagePull", "one:1", "ErrImagePull"),
        ("CreateContainerConfigError", "", "CreateContainerConfigError"),
        ("ErrImageNeverPull", "one:1", "ErrImageNeverPull"),
    ],
)
def test_what_cannot_begin_says_why(reason: str, image: str, shown: str) -> None:
    play = Play(pod_of(one()))
    play.step()
    play.fail("a", reason, image=image)
    assert play.step() == []
    assert play.state()["state"]["waiting"]["reason"] == shown
    play.now += 3
    play.look()
    after = "ImagePullBackOff" if reason == "ErrImagePull" else shown
    assert play.state()["state"]["waiting"]["reason"] == after
    play.now += 8
    assert play.step() == ["start a"]


def test_probes_decide_of_starting_and_ending() -> None:
    play = Play(pod_of(one(livenessProbe={"exec": {}}, startupProbe={"exec": {}}, readinessProbe={"exec": {}})))
    play.settle()
    assert not play.state()["started"] and not play.state()["ready"]
    play.verdicts["a-0"] = Verdict(started=True, ready=False)
    assert play.settle()["phase"] == "Running"
    assert play.condition("Ready")["message"] == "containers with unready status: [a]"
    play.verdicts["a-0"] = Verdict(started=True, ready=True, failed="liveness", grace=3.0)
    decision = play.look()
    assert [(action.verb, action.grace) for action in decision.actions] == [("stop", 3.0)]
    assert decision.actions[0].message == "Container a failed liveness probe, will be restarted"
    play = Play(pod_of(one(livenessProbe={"exec": {}}), restartPolicy="Never"))
    play.settle()
    play.verdicts["a-0"] = Verdict(started=True, ready=True, failed="liveness")
    assert play.look().actions[0].message == "Container a failed liveness probe"
    play.settle()
    assert play.done.count("start a") == 1


def test_who_is_ended_by_a_probe_and_ends_well_has_not_done_its_work() -> None:
    """A Job would count it as done else."""
    play = Play(pod_of(one(livenessProbe={"exec": {}}), restartPolicy="OnFailure"))
    play.settle()
    play.verdicts["a-0"] = Verdict(started=True, ready=True, failed="liveness")
    play.settle()
    assert play.done == ["sandbox", "start a", "stop a", "start a"]
    assert play.status["phase"] == "Running" and play.state()["restartCount"] == 1
    assert play.state()["lastState"]["terminated"]["exitCode"] == 0


def test_hooks_run_before_the_end_within_the_grace() -> None:
    play = Play(pod_of(one(lifecycle={"preStop": {"exec": {}}})))
    play.settle()
    play.delete(grace=10)
    decision = play.look()
    assert [(action.verb, action.grace) for action in decision.actions] == [("leave", 10.0), ("pre-stop", 10.0)]
    play.busy |= {"leave/", "pre-stop/a-0"}
    play.now += 4
    assert not play.look().actions
    play.busy.remove("pre-stop/a-0")
    play.act(decision.actions[1])
    assert not play.look().actions, "clients still come"
    play.busy.clear()
    play.act(decision.actions[0])
    stop = play.look().actions[0]
    assert stop.verb == "stop" and stop.grace == pytest.approx(6.0)
    play.busy.add("stop/a-0")
    assert not play.look().actions
    play.delete(grace=1)
    assert play.look().actions[0].grace == 2.0


def test_clients_that_come_on_keep_nothing_from_ending_in_time() -> None:
    play = Play(pod_of(one(), initContainers=[one("side", restartPolicy="Always")]))
    play.settle()
    play.delete(grace=10)
    assert [action.verb for action in play.look().actions] == ["leave"]
    play.busy.add("leave/")
    decision = play.look()
    assert not decision.actions and decision.again == pytest.approx(play.now + 10, abs=0.01)
    play.now += 11
    assert {(action.verb, action.name) for action in play.look().actions} == {("stop", "a"), ("stop", "side")}


def test_nobody_waits_for_clients_of_a_pod_that_is_to_end_at_once() -> None:
    play = Play(pod_of(one()))
    play.settle()
    play.delete(grace=0)
    assert [action.verb for action in play.look().actions] == ["stop"]


def test_deletion_before_anything_began() -> None:
    play = Play(pod_of(one()))
    play.delete()
    assert play.step() == ["finish"]
    assert play.pod["status"]["phase"] == "Failed"


def test_an_image_that_changes_ends_the_container_also_where_it_would_stay_ended() -> None:
    play = Play(pod_of(one(), restartPolicy="Never"))
    play.settle()
    play.pod["spec"]["containers"][0]["image"] = "two:2"
    assert play.step() == ["stop a"]
    assert play.pod["status"]["phase"] != "Failed"
    play.settle()
    assert play.done[-1] == "start a" and play.state()["restartCount"] == 1


def test_a_new_sandbox_begins_everything_anew_but_what_is_through() -> None:
    play = Play(pod_of(one("a"), one("b"), initContainers=[one("first")], restartPolicy="OnFailure"))
    play.settle()
    play.end("first-0")
    play.settle()
    play.end("b-0", 0)
    play.end("a-0", 137)
    assert play.sandbox is not None
    play.sandbox = msgspec.structs.replace(play.sandbox, ready=False)
    play.done.clear()
    play.settle()
    assert play.done == ["sandbox", "start first"]
    play.end("first-1")
    play.settle()
    assert play.done[2:] == ["start a"]
    assert play.state("first")["state"]["terminated"]["exitCode"] == 0


def test_deadlines() -> None:
    play = Play(pod_of(one(), activeDeadlineSeconds=60))
    play.settle()
    assert NOW + 59 < play.look().again <= NOW + 61
    play.now = NOW + 61
    status = play.settle()
    assert status["phase"] == "Failed" and status["reason"] == "DeadlineExceeded"
    assert play.done[-2:] == ["stop a", "clean"]


def test_a_refused_pod_has_failed_at_once() -> None:
    play = Play(pod_of(one()))
    play.memory = msgspec.structs.replace(
        play.memory, ending=Ending(NOW, 0.0, "OutOfcpu", "Pod was rejected: …", "Failed")
    )
    status = play.settle()
    assert (status["phase"], status["reason"]) == ("Failed", "OutOfcpu")
    assert "containerStatuses" not in status
    assert play.done == ["clean"]


def test_readiness_gates() -> None:
    play = Play(pod_of(one(), readinessGates=[{"conditionType": "example.com/up"}]))
    play.settle()
    assert play.condition("ContainersReady")["status"] == "True"
    assert play.condition("Ready")["reason"] == "ReadinessGatesNotReady"
    play.pod["status"]["conditions"].append({"type": "example.com/up", "status": "True"})
    play.settle()
    assert play.condition("Ready")["status"] == "True" and play.condition("example.com/up")["status"] == "True"


@pytest.mark.parametrize(
    ("more", "reason"),
    [({"oom_killed": True}, "OOMKilled"), ({}, "Error"), ({"reason": "StartError"}, "StartError")],
)
def test_reasons_of_an_end(more: Object, reason: str) -> None:
    play = Play(pod_of(one(), restartPolicy="Never"))
    play.settle()
    play.end("a-0", 137, **more)
    play.messages["a-0"] = "it said so"
    play.settle()
    ended = play.state()["state"]["terminated"]
    assert (ended["reason"], ended["message"], ended["exitCode"]) == (reason, "it said so", 137)


def test_what_the_runtime_has_forgotten_goes_on_counting() -> None:
    play = Play(pod_of(one()))
    play.settle()
    play.runs.clear()
    decision = play.look()
    assert play.state()["lastState"]["terminated"]["reason"] == "ContainerStatusUnknown"
    assert [(action.verb, action.attempt) for action in decision.actions] == [("start", 1)]


def test_an_agent_that_died_between_create_and_start_begins_the_same_run() -> None:
    play = Play(pod_of(one()))
    play.settle()
    play.runs["a-0"] = msgspec.structs.replace(play.runs["a-0"], phase=CREATED, started_at=0)
    assert [(action.verb, action.attempt) for action in play.look().actions] == [("start", 0)]


def test_ephemeral_containers_run_once() -> None:
    play = Play(pod_of(one()))
    play.settle()
    play.pod["spec"]["ephemeralContainers"] = [one("look")]
    assert play.step() == ["start look"]
    play.end("look-0", 1)
    play.settle()
    assert play.done.count("start look") == 1
    assert play.state("look")["state"]["terminated"]["exitCode"] == 1
    assert play.pod["status"]["phase"] == "Running"


def test_what_a_node_lacks_is_named_while_the_pod_waits() -> None:
    play = Play(pod_of(one()))
    play.fail("", "FailedCreatePodSandBox")
    play.step()
    assert play.state()["state"] == {"waiting": {"reason": "ContainerCreating"}}
    why = "unsupported: user namespaces: user.max_user_namespaces is 0"
    problem = msgspec.structs.replace(play.memory.problems[""], message=why)
    play.memory = msgspec.structs.replace(play.memory, problems={"": problem})
    play.step()
    assert play.state()["state"] == {"waiting": {"reason": "FailedCreatePodSandBox", "message": why}}
