"""A pod's life whatever happens: each container runs once at most, in order, and everything ends."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from life_kit import EXITED, RUNNING, Play, one, pod_of
from msgspec.structs import replace

from boxship.cluster.node.life.values import Verdict
from boxship.cluster.node.life.writing import is_urgent, newer, patch_for
from boxship.cluster.objects.patch import merge

POLICIES = ("Always", "OnFailure", "Never")
happenings = st.lists(
    st.one_of(
        st.tuples(st.just("end"), st.integers(0, 5), st.sampled_from((0, 1, 9, 137))),
        st.tuples(st.just("pass"), st.integers(0, 700), st.just(0)),
        st.tuples(st.just("break"), st.just(0), st.just(0)),
        st.tuples(st.just("image"), st.integers(0, 3), st.just(0)),
        st.tuples(st.just("sick"), st.integers(0, 5), st.just(0)),
        st.tuples(st.just("forget"), st.just(0), st.just(0)),
        st.tuples(st.just("step"), st.just(0), st.just(0)),
    ),
    max_size=12,
)


def happen(play: Play, what: str, number: int, code: int) -> None:
    alive = sorted(id for id, run in play.runs.items() if run.phase == RUNNING)
    if what == "end" and alive:
        play.end(alive[number % len(alive)], code)
    elif what == "pass":
        play.now += number
    elif what == "break" and play.sandbox is not None:
        play.sandbox = replace(play.sandbox, ready=False)
        for id in alive:
            play.end(id, 137)
    elif what == "image":
        play.pod["spec"]["containers"][0]["image"] = f"one:{number}"
    elif what == "sick" and alive:
        play.verdicts[alive[number % len(alive)]] = Verdict(failed="liveness")
    elif what == "forget":  # the agent has died
        play.memory = type(play.memory)()


def check(play: Play) -> None:
    alive = [run.name for run in play.runs.values() if run.phase == RUNNING]
    assert len(set(alive)) == len(alive), f"two of one name run: {alive}"
    newest = {run.name: run for run in sorted(play.runs.values(), key=lambda run: run.attempt)}
    if "main" in alive:
        first = newest.get("first")
        assert first is not None and first.phase == EXITED and first.exit_code == 0, "main runs before first is through"


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(POLICIES), st.booleans(), st.integers(1, 60), happenings)
def test_a_life_keeps_its_order_and_comes_to_its_end(policy: str, side: bool, grace: int, events: Any) -> None:
    init = [one("first"), *([one("side", restartPolicy="Always")] if side else [])]
    play = Play(pod_of(one("main"), one("other"), initContainers=init, restartPolicy=policy))
    for what, number, code in events:
        play.step()
        check(play)
        happen(play, what, number, code)
        if any(run.name == "first" and run.phase == RUNNING for run in play.runs.values()):
            play.end(next(run.id for run in play.runs.values() if run.name == "first" and run.phase == RUNNING))
    phase = play.pod["status"]["phase"]
    play.verdicts.clear()
    play.delete(grace)
    for _ in range(30):
        if "finish" in play.step():
            break
        check(play)
        play.now += 1
    assert play.done[-1] == "finish" and not any(run.phase == RUNNING for run in play.runs.values())
    if phase in ("Succeeded", "Failed"):
        assert play.pod["status"]["phase"] == phase


statuses = st.fixed_dictionaries(
    {"phase": st.sampled_from(("Pending", "Running"))},
    optional={
        "podIP": st.sampled_from(("10.0.0.1", "10.0.0.2")),
        "conditions": st.lists(
            st.fixed_dictionaries(
                {"type": st.sampled_from(("Ready", "Other")), "status": st.sampled_from(("True", "False"))}
            ),
            max_size=2,
        ),
    },
)


@given(statuses, statuses)
def test_a_patch_makes_one_status_of_another(had: Any, wanted: Any) -> None:
    pod = {"metadata": {"uid": "u", "resourceVersion": "5"}, "status": had}
    patch = patch_for(pod, wanted)
    if patch is None:
        assert had == wanted and not is_urgent(pod, wanted)
    else:
        assert merge(pod, patch)["status"] == wanted
        assert patch["metadata"] == {"uid": "u", "resourceVersion": "5"}


def test_an_older_reading_never_replaces_a_newer() -> None:
    old, new = ({"metadata": {"resourceVersion": version}} for version in ("9", "10"))
    assert newer(new, old) is new and newer(old, new) is new
