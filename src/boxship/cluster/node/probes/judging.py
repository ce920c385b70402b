"""Answers of probes become results by their thresholds. Pure.

Source: documentation "Configure Liveness, Readiness and Startup Probes"; API reference Probe.
"""

import msgspec

from boxship.cluster.objects import Object

FIRST_TRIES = (0.03, 0.06, 0.12, 0.25, 0.5, 1.0)  # seconds between tries of a port at which nobody listens yet
NOT_LISTENING = "connection refused"


class Score(msgspec.Struct, frozen=True):
    """`result` None: not decided yet. `same` answers came one after the other, the last of them `ok`."""

    result: bool | None = None
    ok: bool | None = None
    same: int = 0


def scored(score: Score, probe: Object, ok: bool) -> Score:
    """After one more answer."""
    same = score.same + 1 if score.ok == ok else 1
    needed = int(probe.get("successThreshold") or 1) if ok else int(probe.get("failureThreshold") or 3)
    return Score(ok if same >= needed else score.result, ok, same)


def early_pause(score: Score, probe: Object, text: str, tried: int) -> float:
    """A port at which nobody listens yet is tried again at once, without counting, until the first period is over:
    nothing was asked of the container. 0.0: wait for the period."""
    if score.ok is not None or NOT_LISTENING not in text or probe.get("exec") is not None or tried >= len(FIRST_TRIES):
        return 0.0
    pause = FIRST_TRIES[tried]
    return pause if sum(FIRST_TRIES[: tried + 1]) < float(probe.get("periodSeconds") or 10) else 0.0
