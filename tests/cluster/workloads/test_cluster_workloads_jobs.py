"""What jobs and cron jobs decide, without any I/O."""

import random
import zoneinfo
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boxship.cluster.controllers.workloads.crons import deciding as crons
from boxship.cluster.controllers.workloads.crons import schedules
from boxship.cluster.controllers.workloads.jobs import ages, counting, deciding, ending, indexes, policies
from boxship.cluster.controllers.workloads.jobs.counting import FAILURES, FINALIZER, INDEX
from boxship.cluster.controllers.workloads.pods import Condition, Exit, Pod
from boxship.cluster.controllers.workloads.times import seconds_of, stamp
from boxship.cluster.objects import Object

NOW = 1_800_000_000.0


def job(status: Object | None = None, **spec: Any) -> Object:
    pod_spec = {"restartPolicy": spec.pop("restartPolicy", "Never"), "containers": [{"name": "c"}]}
    known = {"parallelism": 1, "completions": 1, "backoffLimit": 6, "podReplacementPolicy": "TerminatingOrFailed"}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "j", "namespace": "n", "uid": "u"},
        "spec": {**known, "template": {"metadata": {"labels": {"a": "b"}}, "spec": pod_spec}, **spec},
        "status": {"startTime": stamp(NOW - 100)} if status is None else status,
    }


def pod(name: str, phase: str = "Running", index: int = -1, failures: int = -1, **facts: Any) -> Pod:
    annotations = {INDEX: str(index)} if index >= 0 else {}
    if failures >= 0:
        annotations[FAILURES] = str(failures)
    known = {"finalizers": (FINALIZER,), "node": "x", "created": NOW - 50, "finished": NOW - 40}
    return Pod(**{"namespace": "n", "name": name, "uid": name, "phase": phase, "annotations": annotations,
                  **known, **facts})  # fmt: skip


def decided(one: Object, *pods: Pod, now: float = NOW) -> tuple[deciding.Plan, ending.Ending | None, counting.Counts]:
    counts = counting.count(one, pods, finishing=False)
    end = ending.decide(one, counts, now)
    return deciding.plan(one, pods, counts, end, now), end, counts


def names(pods: tuple[Pod, ...]) -> list[str]:
    return [one.name for one in pods]


@given(st.sets(st.integers(0, 60)))
def test_indexes_are_written_and_read_again(found: set[int]) -> None:
    assert indexes.parse(indexes.text_of(found), 100) == found


def test_the_text_of_indexes() -> None:
    assert indexes.text_of({0, 1, 2, 5, 7, 8}) == "0-2,5,7,8"
    assert indexes.parse("0-2,5", 2) == {0, 1} and indexes.parse("", 9) == frozenset()


def test_how_many_pods_run() -> None:
    plan, _, _ = decided(job(completions=5, parallelism=3), pod("a"))
    assert len(plan.create) == 2
    plan, _, _ = decided(job({"succeeded": 4}, completions=5, parallelism=3))
    assert len(plan.create) == 1
    plan, _, _ = decided(job(completions=None, parallelism=2), pod("a", "Succeeded"), pod("b"))
    assert not plan.create and not plan.delete
    plan, _, _ = decided(job(completions=5, parallelism=1), pod("a"), pod("b", "Pending", node=""))
    assert names(plan.delete) == ["b"] and plan.release
    leaving = pod("a", deleted=NOW)
    assert len(decided(job(), leaving)[0].create) == 0  # it counts as failed, and pauses
    assert len(decided(job(), leaving, now=NOW + 11)[0].create) == 1
    assert not decided(job(podReplacementPolicy="Failed"), leaving, now=NOW + 11)[0].create
    plan, _, _ = decided(job(suspend=True), pod("a"))
    assert names(plan.delete) == ["a"] and plan.release
    assert names(decided(job(), pod("a", finalizers=()))[0].delete) == ["a"]  # it would never be counted


def test_indexed_pods() -> None:
    indexed = job({"completedIndexes": "0"}, completionMode="Indexed", completions=5, parallelism=3)
    plan, _, counts = decided(indexed, pod("c", index=2), pod("d", "Succeeded", index=1))
    assert [one.index for one in plan.create] == [3, 4] and counts.completed == {0, 1}
    plan, _, _ = decided(indexed, pod("a", index=2), pod("b", index=2, ready=True), pod("c", index=7))
    assert sorted(names(plan.delete)) == ["a", "c"]
    made = deciding.make_pod(indexed, deciding.New(3))
    assert made["metadata"]["labels"][INDEX] == made["metadata"]["annotations"][INDEX] == "3"
    assert made["spec"]["hostname"] == "j-3" and made["metadata"]["generateName"] == "j-3-"
    assert made["spec"]["containers"][0]["env"][0]["name"] == "JOB_COMPLETION_INDEX"
    assert FINALIZER in made["metadata"]["finalizers"]


def test_failures_are_tried_again_after_growing_pauses() -> None:
    assert [deciding.pause_of(count) for count in (0, 1, 2, 5, 50)] == [0, 10, 20, 160, 600]
    failed = [pod(f"f{number}", "Failed", finished=NOW - number) for number in (1, 5, 9)]
    assert deciding.backoff(job()["spec"], failed, NOW) == 39
    assert deciding.backoff(job()["spec"], [*failed, pod("s", "Succeeded", finished=NOW)], NOW) == 0
    assert decided(job(), *failed)[0] == deciding.Plan(again=39)


def test_how_jobs_fail() -> None:
    def reason(one: Object, *pods: Pod) -> str:
        end = decided(one, *pods)[1]
        return end.reason if end is not None and end.fails else ""

    assert reason(job(backoffLimit=0), pod("a", "Failed")) == "BackoffLimitExceeded"
    assert reason(job(backoffLimit=1), pod("a", "Failed")) == ""
    restarted = pod("a", all_restarts=2)
    assert reason(job(backoffLimit=2, restartPolicy="OnFailure"), restarted) == "BackoffLimitExceeded"
    assert reason(job(backoffLimit=2), restarted) == ""
    assert reason(job(activeDeadlineSeconds=99)) == "DeadlineExceeded"
    assert reason(job(activeDeadlineSeconds=101)) == ""
    assert reason(job(activeDeadlineSeconds=9, suspend=True)) == ""
    per_index = {"completionMode": "Indexed", "completions": 2, "backoffLimitPerIndex": 1, "backoffLimit": 2**31 - 1}
    assert reason(job(**per_index), pod("a", "Failed", 0, 1), pod("b", "Succeeded", 1)) == "FailedIndexes"
    assert reason(job(**per_index, maxFailedIndexes=0), pod("a", "Failed", 0, 1)) == "MaxFailedIndexesExceeded"
    assert reason(job(**per_index), pod("a", "Failed", 0, 0), pod("b", "Succeeded", 1)) == ""


def test_indexes_wait_for_themselves() -> None:
    one = job(completionMode="Indexed", completions=3, parallelism=3, backoffLimitPerIndex=2, backoffLimit=2**31 - 1)
    first = pod("a", "Failed", 0, 0, finished=NOW - 4)
    plan, _, counts = decided(one, first, pod("b", index=1, failures=0))
    assert plan.create == (deciding.New(2, 0),) and plan.again == 6
    assert counts.held == 1 and not counts.release, "it tells how often the index was tried"
    plan, _, _ = decided(one, first, pod("b", index=1, failures=0), now=NOW + 7)
    assert plan.create[0] == deciding.New(0, 1)
    _, _, counts = decided(one, first, pod("b", index=0, failures=1))
    assert names(counts.release) == ["a"] and counts.uncounted_failed == ("a",)


def test_policies_for_failed_pods() -> None:
    def rule(action: str, **more: Any) -> Object:
        return {"podFailurePolicy": {"rules": [{"action": action, **more}]}}

    codes = {"onExitCodes": {"operator": "In", "values": [42]}}
    failed = pod("a", "Failed", exits=(Exit("c", 42),), conditions=(Condition("DisruptionTarget", "True"),))
    verdict = policies.on_failure(rule("FailJob", **codes), failed)
    assert verdict.message == "Container c for pod n/a failed with exit code 42 matching FailJob rule at index 0"
    other = {"onExitCodes": {"operator": "NotIn", "values": [42], "containerName": "c"}}
    assert policies.on_failure(rule("FailJob", **other), failed).action == "Count"
    patterns = {"onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    ignored = rule("Ignore", **patterns)
    assert policies.on_failure(ignored, failed).action == "Ignore"
    counts = decided(job(**ignored), failed)[2]
    assert counts.all_failed == 0 and names(counts.release) == ["a"]
    end = decided(job(**rule("FailJob", **codes)), failed)[1]
    assert end is not None and end.reason == "PodFailurePolicy"


def test_policies_for_success() -> None:
    def met(done: set[int], **rule: Any) -> bool:
        return bool(policies.success({"completions": 5, "successPolicy": {"rules": [rule]}}, done))

    assert met({0, 2}, succeededIndexes="0,2") and not met({0}, succeededIndexes="0,2")
    assert met({1, 3}, succeededCount=2) and not met({1}, succeededCount=2)
    assert met({0}, succeededIndexes="0-3", succeededCount=1) and not met({4}, succeededIndexes="0-3", succeededCount=1)
    rules = {"rules": [{"succeededIndexes": "0"}]}
    one = job(completionMode="Indexed", completions=2, parallelism=2, successPolicy=rules)
    plan, end, _ = decided(one, pod("a", "Succeeded", 0), pod("b", index=1))
    assert end is not None and end.message == "Matched rules at index 0" and names(plan.delete) == ["b"]


def test_a_job_is_over_when_nothing_of_it_is_left() -> None:
    def status(one: Object, *pods: Pod, **running: Any) -> Object:
        counts = counting.count(one, pods, finishing=ending.begun(one) is not None)
        known = {"active": 0, "ready": 0, "terminating": 0, "settled": True, **running}
        return deciding.status_of(one, counts, ending.decide(one, counts, NOW), deciding.Running(**known), NOW)

    def kinds(found: Object) -> list[str]:
        return [one["type"] for one in found["conditions"]]

    first = status(job(), pod("a", "Succeeded"))
    assert kinds(first) == ["SuccessCriteriaMet"] and first["uncountedTerminatedPods"] == {"succeeded": ["a"]}
    second = status(job(first), pod("a", "Succeeded", finalizers=()))
    assert kinds(second) == ["SuccessCriteriaMet", "Complete"] and second["succeeded"] == 1
    assert second["completionTime"] and second["uncountedTerminatedPods"] == {}
    failing = status(job(backoffLimit=0), pod("a", "Failed"), pod("b"), active=1)
    assert kinds(failing) == ["FailureTarget"] and failing["uncountedTerminatedPods"] == {"failed": ["a"]}
    assert kinds(status(job(failing), pod("a", finalizers=()), terminating=1)) == ["FailureTarget"]
    assert kinds(status(job(failing), pod("a", finalizers=()))) == ["FailureTarget", "Failed"]
    paused = status(job(suspend=True))
    assert kinds(paused) == ["Suspended"] and "startTime" not in paused
    resumed = status(job(paused))
    assert resumed["conditions"][0]["status"] == "False" and resumed["startTime"] == stamp(NOW)


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 1 << 30), indexed=st.booleans())
def test_each_pod_counts_once_whatever_is_forgotten(seed: int, indexed: bool) -> None:
    """Turns that end anywhere: before the status is written, before or after finalizers come off."""
    chance = random.Random(seed)
    one = job(completions=8, parallelism=8, completionMode="Indexed" if indexed else "NonIndexed", backoffLimit=99)
    phases = [chance.choice(["Succeeded", "Failed"]) for _ in range(8)]
    pods = [pod(f"p{number}", "Running", number if indexed else -1) for number in range(8)]
    for _ in range(200):
        index = chance.randrange(len(pods))
        if chance.random() < 0.5:
            pods[index] = msgspec.structs.replace(pods[index], phase=phases[index])
        counts = counting.count(one, pods, finishing=False)
        total = counts.succeeded + counts.failed + len(counts.uncounted_succeeded) + len(counts.uncounted_failed)
        ended = [each for each in pods if each.phase != "Running"]
        assert total == len(ended), "a pod is lost, or counted twice"
        if chance.random() < 0.5:
            continue  # killed before anything was written
        running = deciding.Running(1, 0, 0, False)
        one = {**one, "status": deciding.status_of(one, counts, None, running, NOW)}
        for each in counts.release:
            if chance.random() < 0.5:
                place = pods.index(each)
                pods[place] = msgspec.structs.replace(each, finalizers=())


def test_when_finished_jobs_go() -> None:
    done = {"conditions": [ending.condition("Complete", "True", "", "", NOW - 30)]}
    assert ages.time_left(job(done, ttlSecondsAfterFinished=60), NOW) == 30
    assert ages.time_left(job(done), NOW) is None
    assert ages.time_left(job(ttlSecondsAfterFinished=60), NOW) is None


# Cron jobs


def at(text: str, zone: str = "UTC") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zoneinfo.ZoneInfo(zone)).timestamp()


@pytest.mark.parametrize(
    ("schedule", "after", "expected"),
    [
        ("* * * * *", "2026-03-01 10:00:30", "2026-03-01 10:01:00"),
        ("*/15 * * * *", "2026-03-01 10:46:00", "2026-03-01 11:00:00"),
        ("5/20 3 * * *", "2026-03-01 03:05:00", "2026-03-01 03:25:00"),
        ("0 9-17/4 * * MON-FRI", "2026-02-27 17:00:00", "2026-03-02 09:00:00"),
        ("0 0 13 * FRI", "2026-03-01 00:00:00", "2026-03-06 00:00:00"),
        ("0 0 */2 * FRI", "2026-03-01 00:00:00", "2026-03-03 00:00:00"),
        ("0 0 29 feb ?", "2026-03-01 00:00:00", "2028-02-29 00:00:00"),
        ("@monthly", "2026-12-31 23:59:59", "2027-01-01 00:00:00"),
        ("@weekly", "2026-03-01 00:00:00", "2026-03-08 00:00:00"),
        ("@every 1m30s", "2026-03-01 00:00:00", "2026-03-01 00:01:30"),
    ],
)
def test_when_a_schedule_is_due(schedule: str, after: str, expected: str) -> None:
    assert schedules.parse(schedule, "UTC").next(at(after)) == at(expected)


def test_what_is_never_due() -> None:
    assert schedules.parse("0 0 30 2 *", "UTC").next(NOW) is None


def test_summer_time() -> None:
    zone = "Europe/Berlin"
    spring = schedules.parse("30 2 * * *", zone)
    assert spring.next(at("2026-03-28 03:00", zone)) == at("2026-03-30 02:30", zone), "there is no such hour"
    autumn = schedules.parse("30 2 * * *", zone)
    first = autumn.next(at("2026-10-25 00:00", zone))
    assert first is not None and autumn.next(first) == first + 3600, "the hour comes twice"
    assert schedules.parse("0 12 * * *", "America/New_York").next(at("2026-07-01 00:00")) == at("2026-07-01 16:00")


@settings(max_examples=60, deadline=None)
@given(
    minute=st.sampled_from(["*", "*/7", "3,40", "10-20", "5"]),
    hour=st.sampled_from(["*", "*/5", "3,22", "9-12", "0"]),
    day=st.sampled_from(["*", "1", "15-17", "*/10"]),
    weekday=st.sampled_from(["*", "1", "mon,wed", "0"]),
    offset=st.integers(0, 365 * 24 * 60),
)
def test_schedules_against_a_simple_search(minute: str, hour: str, day: str, weekday: str, offset: int) -> None:
    schedule = schedules.parse(f"{minute} {hour} {day} * {weekday}", "UTC")
    start = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=offset)
    found = schedule.next(start.timestamp())
    moment = start
    for _ in range(8 * 24 * 60):
        moment += timedelta(minutes=1)
        days = moment.day in schedule.days, (moment.weekday() + 1) % 7 in schedule.weekdays
        right = all(days) if day == "*" or weekday == "*" else any(days)
        if right and moment.minute in schedule.minutes and moment.hour in schedule.hours:
            assert found == moment.timestamp()
            return
    assert found is not None and found > moment.timestamp()


def cron(status: Object | None = None, **spec: Any) -> Object:
    known = {"schedule": "* * * * *", "concurrencyPolicy": "Allow", "jobTemplate": {"spec": {"x": 1}}}
    created = {"creationTimestamp": stamp(NOW - 3600)}
    metadata = {"name": "c", "namespace": "n", "uid": "u", **created}
    return {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": metadata, "spec": {**known, **spec},
            "status": status or {}}  # fmt: skip


def test_which_run_is_due() -> None:
    every = schedules.parse("* * * * *", "UTC")
    last = {"lastScheduleTime": stamp(NOW - 60)}
    assert crons.due(cron(last), every, NOW).time == NOW
    assert crons.due(cron({"lastScheduleTime": stamp(NOW)}), every, NOW + 30).time == 0.0
    missed = crons.due(cron(), every, NOW + 6)
    assert missed.time == NOW and missed.missed == 60
    assert crons.due(cron({"lastScheduleTime": stamp(NOW - 86400)}), every, NOW).missed > crons.MANY
    assert crons.due(cron({"lastScheduleTime": stamp(NOW - 86400 * 90)}), every, NOW + 1).time == NOW
    days = schedules.parse("0 9 * * 1-5", "UTC")
    long = crons.due(cron({"lastScheduleTime": stamp(NOW - 86400 * 4000)}), days, NOW)
    assert days.next(long.time) is not None and (days.next(long.time) or 0) > NOW >= long.time
    limited = cron(last, startingDeadlineSeconds=10)
    assert crons.due(limited, every, NOW + 30).time == 0.0
    assert crons.is_too_late(limited, NOW, NOW + 11) and not crons.is_too_late(limited, NOW, NOW + 9)


def test_jobs_of_a_schedule() -> None:
    made = crons.make_job(cron(timeZone="Europe/Berlin"), NOW)
    assert made["metadata"]["name"] == f"c-{int(NOW) // 60}"
    text = made["metadata"]["annotations"][crons.SCHEDULED]
    assert seconds_of(text) == NOW and text.endswith("+01:00")

    def past(name: str, kind: str, started: float) -> Object:
        done = {"conditions": [ending.condition(kind, "True", "", "", NOW)], "startTime": stamp(started)}
        if kind == "Complete":
            done["completionTime"] = stamp(started + 5)
        return {**job(done), "metadata": {"name": name, "uid": name}}

    history = [past(f"s{number}", "Complete", NOW - number) for number in range(5)] + [past("f", "Failed", NOW)]
    kept = cron(successfulJobsHistoryLimit=3, failedJobsHistoryLimit=1)
    assert [one["metadata"]["name"] for one in crons.outdated(kept, history)] == ["s4", "s3"]
    running = {**job(), "metadata": {"name": "r", "uid": "r", "annotations": {crons.SCHEDULED: stamp(NOW)}}}
    by_hand = {**job(), "metadata": {"name": "h", "uid": "h"}}
    active = [{"name": name, "uid": name} for name in ("s0", "gone")]
    seen = crons.look(cron({"active": active}), [*history, running, by_hand])
    assert [one["uid"] for one in seen.status["active"]] == ["r"]
    assert seen.status["lastSuccessfulTime"] == stamp(NOW + 5)
    assert sorted(reason for _, reason, _ in seen.events) == [
        "MissingJob",
        "SawCompletedJob",
        "UnexpectedJob",
        "UnexpectedJob",
    ]


@pytest.mark.parametrize("mode", ["NonIndexed", "Indexed"])
def test_a_pod_that_was_told_as_failed_and_succeeds_counts_once(mode: str) -> None:
    told = {"startTime": stamp(NOW - 100), "uncountedTerminatedPods": {"failed": ["p"]}}
    _, _, counts = decided(job(told, completionMode=mode), pod("p", "Succeeded", index=0, deleted=NOW - 60))
    assert (counts.uncounted_failed, counts.uncounted_succeeded) == (("p",), ())
    assert not counts.completed and names(counts.release) == ["p"]
