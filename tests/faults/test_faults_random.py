"""kill -9 of the daemon at random moments under load; after each restart everything acknowledged is there.

The seed is printed; FAULT_SEED=N runs the same again (the moments are the same, the machine's own timing is not).
"""

import os
import random
import threading

import invariants
import pytest
from faults_instance import Instance, Launcher, eventually, instance
from load import Load

KILLS, KILLS_SLOW = 8, 200
SHORTEST, LONGEST = 0.02, 0.9  # seconds of load before a kill
AT_STEP = 0.4  # share of kills that come at a counted step instead of a moment
STEPS = 120
GENTLE = 0.1  # share of the moments at which the daemon is asked to stop instead
MONITORS = 0.3  # share of the kills after which a conmon or a container's process is killed too
HANG_SECONDS = 40.0


def _one_kill(box: Instance, load: Load, dice: random.Random) -> str:
    """Load, kill, restart, compare. What was done, for the report."""
    before = load.done
    if dice.random() < AT_STEP:
        number = dice.randrange(1, STEPS)
        how = f"step {number}"
        box.arm(number)
        load.begin()
        try:
            eventually(lambda: not box.alive() or not load.working, HANG_SECONDS, f"step {number}")
        except AssertionError as error:
            raise AssertionError(f"{error}; {load.doing()}; the daemon's tasks:\n{box.tasks()}") from None
        steps = box.disarm()
        how += f" ({steps[-1].partition(' ')[2] if steps else 'none'})"
    else:
        moment = dice.uniform(SHORTEST, LONGEST)
        gently = dice.random() < GENTLE
        how = f"{'SIGTERM' if gently else 'SIGKILL'} after {moment:.3f} s"
        timer = threading.Timer(moment, box.stop if gently else box.kill)
        load.begin()
        timer.start()
        timer.join()
    load.end()
    box.gone()
    if dice.random() < MONITORS:
        how += load.kill_something(dice)
    box.start()
    try:
        load.settle()
        invariants.check(box)
    except AssertionError as error:
        raise AssertionError(f"{how}: {error}") from error
    return f"{how}: {load.done - before} operations"


def _campaign(launcher: Launcher, kills: int) -> None:
    seed = int(os.environ.get("FAULT_SEED") or random.randrange(10**6))
    dice = random.Random(seed)
    print(f"FAULT_SEED={seed}")
    with instance(launcher, image=False) as box:
        first = invariants.files_of(box.data)
        box.load_busybox()
        load = Load(box.client, seed)
        for number in range(kills):
            told = "?"
            try:
                told = _one_kill(box, load, dice)
            except Exception as error:
                raise AssertionError(f"FAULT_SEED={seed}, kill {number}: {error}\n{box.log_end()}") from error
            print(f"kill {number}: {told}")
        box.remove_all()
        invariants.check(box)
        box.stop()
        invariants.check_empty(box, first)


def test_random_kills(launcher: Launcher) -> None:
    _campaign(launcher, KILLS)


@pytest.mark.slow
def test_two_hundred_random_kills(launcher: Launcher) -> None:
    _campaign(launcher, KILLS_SLOW)
