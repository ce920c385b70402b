"""Every case of `cases` through both doors: the stock client's classic build, and `boxship build`. Both must leave what
the case says, and both the same: files with kinds, modes, owners and contents, config, history.

Every third case, and the first of each kind, is built each time; the others are left to the long scenarios."""

from collections.abc import Iterator

import pytest
from cases import CASES
from cases.adding import serve
from cases.shape import Case
from cases_kit import Outcome, Workshop, differences, own_history, serve_repository

from daemons import Daemon

SHARE = 3  # of the cases, one is built each time


@pytest.fixture(scope="module")
def workshop(
    daemon: Daemon, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Workshop]:
    """All selected cases are begun at once and built a few at a time."""
    made = Workshop(daemon, tmp_path_factory.mktemp("cases"))
    serve(made.served)
    serve_repository(made.served)
    wanted = [item.callspec.params["case"] for item in request.session.items if "workshop" in item.fixturenames]
    made.begin(wanted)
    yield made
    made.close()


def test_there_are_enough_cases_with_names_of_their_own() -> None:
    assert len(CASES) >= 150
    assert len({case.name for case in CASES}) == len(CASES)
    assert sum(case.doors == ("docker", "boxship") for case in CASES) >= 150


def chosen() -> set[str]:
    """Names of the cases that are built each time."""
    first = {case.name.partition("-")[0]: case.name for case in reversed(CASES)}
    return {*first.values(), *(case.name for case in CASES[::SHARE])}


OFTEN = chosen()


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=case.name, marks=() if case.name in OFTEN else pytest.mark.slow) for case in CASES]
)
def test_case(workshop: Workshop, case: Case) -> None:
    outcomes = workshop.outcome(case)
    for door, outcome in outcomes.items():
        wrong = problems(case, outcome)
        assert not wrong, f"through {door}:\n" + "\n".join(wrong) + f"\n\n{outcome.output}"
    if len(outcomes) == 2 and not case.error:
        first, second = outcomes.values()
        assert first.config() == second.config()
        assert [step["CreatedBy"] for step in first.history] == [step["CreatedBy"] for step in second.history]
        theirs, ours = first.listing(), second.listing()
        assert {name for name in theirs.keys() | ours.keys() if theirs.get(name) != ours.get(name)} == set()
        assert not case.same or first.image["Id"] == second.image["Id"]


def problems(case: Case, outcome: Outcome) -> list[str]:
    """What is not as the case wants it."""
    wrong = [f"does not say {text!r}" for text in (*case.says, *case.error) if text not in outcome.output]
    if case.error:
        return wrong if outcome.code else [*wrong, "the build succeeded"]
    if outcome.code:
        return [*wrong, f"the build ended with {outcome.code}"]
    for path, entry in case.files.items():
        wrong += differences(path, entry, outcome)
    wrong += [f"{path} is there" for path in case.absent if path in outcome.entries]
    for key, value in case.config.items():
        found = outcome.image["Config"].get(key)
        if (found or None) != (value or None):
            wrong.append(f"Config.{key} is {found!r}, not {value!r}")
    wrong += [
        f"{key} is {outcome.image.get(key)!r}, not {value!r}"
        for key, value in case.image.items()
        if outcome.image.get(key) != value
    ]
    if case.history is not None and own_history(outcome) != case.history:
        wrong.append("history:\n  " + "\n  ".join(own_history(outcome)) + "\nnot\n  " + "\n  ".join(case.history))
    if case.layers is not None and len(outcome.image["RootFS"]["Layers"]) != case.layers:
        wrong.append(f"{len(outcome.image['RootFS']['Layers'])} layers, not {case.layers}")
    return wrong
