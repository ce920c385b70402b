"""CronJobs: what they start, what they do while a job of theirs runs, what they missed. No case waits for a minute to
pass: when a schedule ran last is told in its status, so that a run is due at once."""

import datetime
import functools
import json

import pytest
from conformance_apps_kit import Object, job, names, owner, settles
from conformance_kit import Space
from test_cluster_conformance_apps_status import cron

pytestmark = pytest.mark.slow

PATH, JOBS = "batch/v1/cronjobs", "batch/v1/jobs"
SCHEDULED = "batch.kubernetes.io/cronjob-scheduled-timestamp"
EVERY_MINUTE = "*/1 * * * ?"


def ago(seconds: float) -> str:
    when = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=seconds)
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def ran_last(space: Space, name: str, seconds: float) -> None:
    """It ran so long ago for the last time; whatever has been due since then is due now."""
    space.patched(f"{PATH}/{name}/status", {"status": {"lastScheduleTime": ago(seconds)}})


def jobs_of(space: Space, name: str) -> list[Object]:
    uid = space.read(f"{PATH}/{name}")["metadata"]["uid"]
    return [one for one in space.read(JOBS)["items"] if owner(one) == uid]


def active(space: Space, name: str) -> list[str]:
    return [one["name"] for one in space.read(f"{PATH}/{name}").get("status", {}).get("active", ())]


def running_job(space: Space, of: str, name: str) -> None:
    """A job of an earlier run that still goes on."""
    parent = space.read(f"{PATH}/{of}")
    reference = {"apiVersion": "batch/v1", "kind": "CronJob", "name": of, "uid": parent["metadata"]["uid"]}
    made = job(name)
    made["metadata"]["ownerReferences"] = [{**reference, "controller": True, "blockOwnerDeletion": True}]
    made["metadata"]["annotations"] = {SCHEDULED: ago(600)}
    space.made(JOBS, made)
    space.until(lambda: active(space, of) == [name], "it is known")


def reasons(space: Space, name: str) -> set[str]:
    return {event["reason"] for event in space.events(f"--field-selector=involvedObject.name={name}")}


# Covers: CronJob AllowConcurrent; CronJob ForbidConcurrent; CronJob ReplaceConcurrent; CronJob Suspend.
def test_what_happens_while_a_job_runs(space: Space) -> None:
    policies = {"allow": "Allow", "forbid": "Forbid", "replace": "Replace"}
    for name, policy in policies.items():
        space.made(PATH, cron(name, schedule="0 0 29 2 *", concurrencyPolicy=policy))
        running_job(space, name, f"{name}-first")
    space.made(PATH, cron("suspended", schedule=EVERY_MINUTE, suspend=True))
    ran_last(space, "suspended", 600)
    for name in policies:
        space.patched(f"{PATH}/{name}", {"spec": {"schedule": EVERY_MINUTE}})
        ran_last(space, name, 130)
    space.until(lambda: len(active(space, "allow")) >= 2, "both run beside each other")
    found = names(jobs_of(space, "allow"))
    assert "allow-first" in found and len(found) >= 2
    space.until(lambda: "JobAlreadyActive" in reasons(space, "forbid"), "a second one is forbidden")
    assert names(jobs_of(space, "forbid")) == ["forbid-first"] == active(space, "forbid")
    space.until(lambda: space.is_gone(f"{JOBS}/replace-first"), "the first one is replaced")
    space.until(lambda: active(space, "replace") not in ([], ["replace-first"]), "by another")
    space.until(lambda: len(jobs_of(space, "replace")) == 1, "and by one alone")
    assert not jobs_of(space, "suspended") and not active(space, "suspended")
    space.patched(f"{JOBS}/forbid-first", {"spec": {"parallelism": 0}})
    space.request("DELETE", f"{JOBS}/forbid-first?propagationPolicy=Background")
    space.until(
        lambda: len(active(space, "forbid")) == 1 and active(space, "forbid") != ["forbid-first"], "then it runs"
    )
    space.patched(f"{PATH}/suspended", {"spec": {"suspend": False}})
    space.until(lambda: len(active(space, "suspended")) == 1, "what was suspended goes on")


def test_a_job_is_made_from_its_template(space: Space) -> None:
    made = cron("tick", schedule=EVERY_MINUTE, timeZone="Asia/Tokyo")
    made["spec"]["jobTemplate"] = {
        "metadata": {"labels": {"own": "label"}, "annotations": {"own": "note"}},
        "spec": job("tick", "exit 0")["spec"],
    }
    uid = space.made(PATH, made)["metadata"]["uid"]
    ran_last(space, "tick", 90)
    space.until(lambda: space.read(f"{PATH}/tick")["status"].get("lastSuccessfulTime"), "its job has succeeded")
    one = jobs_of(space, "tick")[0]
    last = datetime.datetime.fromisoformat(one["metadata"]["annotations"][SCHEDULED])
    assert one["metadata"]["name"] == f"tick-{int(last.timestamp()) // 60}"
    assert last.utcoffset() == datetime.timedelta(hours=9) and last.second == 0
    assert one["metadata"]["labels"]["own"] == "label" and one["metadata"]["annotations"]["own"] == "note"
    assert owner(one) == uid
    assert {"SuccessfulCreate", "SawCompletedJob"} <= reasons(space, "tick")
    space.request("DELETE", f"{PATH}/tick?propagationPolicy=Background")
    space.until(lambda: one["metadata"]["name"] not in names(space.read(JOBS)["items"]), "its jobs go with it")


def test_what_was_missed(space: Space) -> None:
    """Of many runs that were missed the last one is made up for, unless it is too late for that, too."""
    space.made(PATH, cron("many", schedule=EVERY_MINUTE))
    ran_last(space, "many", 3600 * 24)
    space.until(lambda: jobs_of(space, "many"), "the last run is made up for")
    space.until(lambda: "TooManyMissedTimes" in reasons(space, "many"), "and that there were many is told")
    assert len(jobs_of(space, "many")) <= 2
    hour = (datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=30)).strftime("%M")
    space.made(PATH, cron("late", schedule=f"{int(hour)} * * * *", startingDeadlineSeconds=60))
    ran_last(space, "late", 7200)
    space.made(PATH, cron("deadline", schedule=f"{int(hour)} * * * *", startingDeadlineSeconds=7200))
    ran_last(space, "deadline", 7200)
    space.until(lambda: jobs_of(space, "deadline"), "one that may be late is")
    assert not jobs_of(space, "late")


def test_a_history_is_kept_as_long_as_it_may_be(space: Space) -> None:
    space.made(PATH, cron("tick", successfulJobsHistoryLimit=1, failedJobsHistoryLimit=0, suspend=True))
    parent = space.read(f"{PATH}/tick")
    reference = {"apiVersion": "batch/v1", "kind": "CronJob", "name": "tick", "uid": parent["metadata"]["uid"]}
    for name, script in (("good-1", "exit 0"), ("good-2", "exit 0"), ("bad-1", "exit 1")):
        made = job(name, script, backoffLimit=0)
        made["metadata"]["ownerReferences"] = [{**reference, "controller": True}]
        space.made(JOBS, made)

    def only_one() -> bool:
        return len(jobs_of(space, "tick")) == 1

    space.until(only_one, "one that succeeded is kept, none that failed")
    assert names(jobs_of(space, "tick"))[0].startswith("good")


def is_noticed(space: Space, name: str) -> bool:
    return "UnexpectedJob" in reasons(space, name)


def goes_on(space: Space, name: str) -> bool:
    return len(jobs_of(space, name)) >= 2


def test_a_job_is_made_by_hand(space: Space) -> None:
    """It is the schedule's, and neither stops it nor is replaced by it."""
    for name, policy in (("forbid", "Forbid"), ("replace", "Replace")):
        space.made(PATH, cron(name, schedule=EVERY_MINUTE, concurrencyPolicy=policy))
        space.kubectl("create", "job", f"{name}-now", f"--from=cronjob/{name}")
        made = space.read(f"{JOBS}/{name}-now")["metadata"]
        assert made["annotations"] == {"cronjob.kubernetes.io/instantiate": "manual"}
        settles(space, f"{JOBS}/{name}-now", active=1)
        space.until(functools.partial(is_noticed, space, name), "it is noticed")
        ran_last(space, name, 90)
        space.until(functools.partial(goes_on, space, name), "the schedule goes on")
        assert not space.is_gone(f"{JOBS}/{name}-now") and f"{name}-now" not in active(space, name)


@pytest.mark.parametrize(
    ("spec", "wrong"),
    [
        ({"schedule": "61 * * * *"}, "spec.schedule"),
        ({"schedule": "TZ=UTC * * * * *"}, "spec.schedule"),
        ({"timeZone": "Moon/Sea"}, "spec.timeZone"),
        ({"concurrencyPolicy": "Perhaps"}, "spec.concurrencyPolicy"),
    ],
)
def test_what_no_schedule_may_say(space: Space, spec: Object, wrong: str) -> None:
    answer = space.request("POST", PATH, cron("tick", **spec))
    assert answer.status == 422, answer
    assert wrong in [cause["field"] for cause in json.loads(answer.body)["details"]["causes"]]
