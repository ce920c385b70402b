"""Which run of a CronJob is due, which of its jobs go, what its status is. Pure."""

import copy
import zoneinfo
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from boxship.cluster.controllers.workloads.claiming import reference
from boxship.cluster.controllers.workloads.crons.schedules import Schedule
from boxship.cluster.controllers.workloads.jobs import ending
from boxship.cluster.controllers.workloads.jobs.counting import true
from boxship.cluster.controllers.workloads.times import seconds_of
from boxship.cluster.objects import Object
from boxship.errors import Invalid

SCHEDULED = "batch.kubernetes.io/cronjob-scheduled-timestamp"
MANY = 100  # missed runs, from which on something is wrong
LOOKS = 1000  # steps of a schedule that are gone one by one; longer gaps are jumped over
TOO_MANY = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"


class Due(msgspec.Struct, frozen=True):
    """`time`: the last run that is due, 0.0: none. `missed`: how many before it never ran."""

    time: float = 0.0
    missed: int = 0


def due(cron: Object, schedule: Schedule, now: float) -> Due:
    """Raises Invalid where two runs are less than a second apart."""
    earliest = seconds_of((cron.get("status") or {}).get("lastScheduleTime"))
    earliest = earliest or seconds_of(cron["metadata"].get("creationTimestamp"))
    deadline = cron["spec"].get("startingDeadlineSeconds")
    if deadline is not None:
        earliest = max(earliest, now - deadline)
    first = schedule.next(earliest)
    if first is None or first > now:
        return Due()
    second = schedule.next(first)
    if second is None or second > now:
        return Due(first)
    gap = second - first
    if gap < 1:
        raise Invalid("time difference between two schedules is less than 1 second")
    missed = int((now - earliest) / gap)
    time: float = first
    if missed > LOOKS:
        # Irregular schedules (weekdays) may have fewer runs than the first gap lets expect: begin well before now.
        time = max(first, _just_before(schedule, now, gap))
    following: float | None = time
    while following is not None and following <= now:
        time, following = following, schedule.next(following)
    return Due(time, max(missed, 1))


def _just_before(schedule: Schedule, now: float, gap: float) -> float:
    """Some run of the schedule before now, not far from it; 0.0: there is none within two years."""
    span = gap * 2
    while span < 2 * 366 * 86400:
        found = schedule.next(now - span)
        if found is not None and found <= now:
            return found
        span *= 4
    return 0.0


def is_too_late(cron: Object, time: float, now: float) -> bool:
    deadline = cron["spec"].get("startingDeadlineSeconds")
    return deadline is not None and time + deadline < now


def job_name(cron: Object, time: float) -> str:
    return f"{cron['metadata']['name']}-{int(time) // 60}"


def make_job(cron: Object, time: float) -> Object:
    template = cron["spec"]["jobTemplate"]
    given = template.get("metadata") or {}
    zone = cron["spec"].get("timeZone")
    metadata: Object = {
        "name": job_name(cron, time),
        "namespace": cron["metadata"].get("namespace", ""),
        "annotations": {**(given.get("annotations") or {}), SCHEDULED: scheduled_text(time, zone)},
        "ownerReferences": [reference(cron)],
    }
    if given.get("labels"):
        metadata["labels"] = dict(given["labels"])
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": copy.deepcopy(template["spec"])}


def scheduled_text(time: float, zone: str | None) -> str:
    where = zoneinfo.ZoneInfo(zone) if zone else UTC
    return datetime.fromtimestamp(time, where).isoformat().replace("+00:00", "Z")


def job_reference(job: Object) -> Object:
    metadata = job["metadata"]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "name": metadata["name"],
        "namespace": metadata.get("namespace", ""),
        "uid": metadata["uid"],
        "resourceVersion": metadata.get("resourceVersion", ""),
    }


def is_running(job: Object) -> bool:
    return not ending.is_finished(job)


class Seen(msgspec.Struct, frozen=True):
    """The status after looking at the jobs, and what to tell of it: type, reason, message."""

    status: Object
    events: tuple[tuple[str, str, str], ...]


def look(cron: Object, jobs: Sequence[Object]) -> Seen:
    """`jobs`: all that the cron job controls."""
    status = dict(cron.get("status") or {})
    active = {one["uid"]: one for one in status.get("active") or ()}
    events: list[tuple[str, str, str]] = []
    last = seconds_of(status.get("lastSuccessfulTime"))
    uids = set()
    for job in jobs:
        metadata = job["metadata"]
        uids.add(metadata["uid"])
        if is_running(job):
            if metadata["uid"] not in active:
                text = f"Saw a job that the controller did not create or forgot: {metadata['name']}"
                events.append(("Warning", "UnexpectedJob", text))
                if SCHEDULED in (metadata.get("annotations") or {}):  # one that somebody made by hand stops nobody
                    active[metadata["uid"]] = job_reference(job)
            continue
        complete = true(job["status"], ending.COMPLETE)
        if metadata["uid"] in active:
            del active[metadata["uid"]]
            how = ending.COMPLETE if complete else ending.FAILED
            text = f"Saw completed job: {metadata['name']}, condition: {how}"
            events.append(("Normal", "SawCompletedJob", text))
        done = job["status"].get("completionTime")
        if complete and done and seconds_of(done) > last:
            last, status["lastSuccessfulTime"] = seconds_of(done), done
    for uid in [uid for uid in active if uid not in uids]:
        gone = active.pop(uid)
        text = f"Active job went missing: {gone['name']}"
        events.append(("Normal", "MissingJob", text))
    status["active"] = list(active.values())
    if not status["active"]:
        del status["active"]
    return Seen(status, tuple(events))


def outdated(cron: Object, jobs: Sequence[Object]) -> list[Object]:
    """Jobs that are over and beyond the history that is kept."""
    spec = cron["spec"]
    found: list[Object] = []
    for key, kind in (("successfulJobsHistoryLimit", ending.COMPLETE), ("failedJobsHistoryLimit", ending.FAILED)):
        limit = spec.get(key)
        if limit is None:
            continue
        over = [job for job in jobs if true(job.get("status") or {}, kind)]
        over.sort(key=lambda job: ((job["status"].get("startTime") or ""), job["metadata"]["name"]))
        found += over[: max(len(over) - limit, 0)]
    return [job for job in found if not job["metadata"].get("deletionTimestamp")]
