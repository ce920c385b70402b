"""The tree of a build as text: what is shown of each state, what fits, and steps as they are kept."""

import base64
from typing import Any

import pytest

from boxship.cli.building.plain import notice_text
from boxship.cli.building.steps import CACHED, DONE, FAILED, RUNNING, TAIL_LINES, WAITING, Steps
from boxship.cli.building.tree import TreeShow, fitted, shortened, width


class Screen:
    """A tree with a clock and a terminal of its own."""

    def __init__(self, rows: int = 24, columns: int = 50, **options: Any) -> None:
        self.now = 100.0
        self.written: list[str] = []
        self.size = (rows, columns)
        self.steps = Steps(lambda: self.now)
        self.tree = TreeShow(self.steps, self.written.append, lambda: self.size, "Building x", color=False, **options)

    def take(self, kind: str, **fields: Any) -> None:
        self.tree.take(kind, fields)

    def lines(self) -> list[str]:
        """What the last drawing wrote, line by line."""
        self.now += 1
        self.tree.tick()
        drawn = self.written[-1].rpartition("\x1b[J")[0]
        return [line.removeprefix("\r\x1b[2K") for line in drawn.split("\n")[:-1]]


def step(name: str, text: str, stage: str = "", **more: Any) -> dict[str, Any]:
    return {"step": name, "name": text, "stage": stage, "number": 1, "instruction": "RUN", **more}


def said(name: str, text: str) -> dict[str, Any]:
    return {"step": name, "stream": 1, "data": base64.b64encode(text.encode()).decode()}


def test_states_stages_times_and_tails() -> None:
    screen = Screen(explain=True)
    screen.take("Planned", steps=[step("a", "[base 1/2] FROM x", "base"), step("b", "[web 1/1] RUN y", "web")])
    screen.take("StepStarted", **step("a", "[base 1/2] FROM x", "base"))
    screen.take("StepFinished", step="a", cached=True)
    screen.take("StepStarted", **step("b", "[web 1/1] RUN y", "web"))
    screen.take("StepOutput", **said("b", "one\ntwo\x1b[2J\nunfinished"))
    screen.take("StepProgress", step="b", part="p", current=1000, total=4000)
    assert [line.rstrip() for line in screen.lines()] == [
        "Building x  1/2                              1.0s",
        " base",
        "   ✔ [base 1/2] FROM x                     cached",
        " web",
        "   ● [web 1/1] RUN y  1kB / 4kB              1.0s",
        "       one",
        "       two[2J",
    ]
    screen.take("StepFinished", step="b", seconds=12.34, reason="a mount changed")
    shown = [line.rstrip() for line in screen.lines()]
    assert shown[4:] == [
        "   ✔ [web 1/1] RUN y  1kB / 4kB             12.3s",
        "       not cached: a mount changed",
    ]


def test_drawing_goes_over_what_was_drawn() -> None:
    screen = Screen()
    screen.take("StepStarted", **step("a", "one"))
    screen.lines()
    assert not screen.written[-1].startswith("\x1b[")
    screen.lines()
    assert screen.written[-1].startswith("\x1b[2A")
    screen.tree.close()
    assert screen.written[-1].startswith("\x1b[2A")


def test_a_terminal_that_becomes_narrower_has_broken_lines() -> None:
    screen = Screen(columns=81)
    screen.take("StepStarted", **step("a", "one"))
    screen.lines()
    screen.size = (24, 40)
    screen.lines()
    assert screen.written[-1].startswith("\x1b[4A")  # two lines of 80 columns stand in four rows of 40


def test_drawing_is_not_faster_than_eyes() -> None:
    screen = Screen()
    screen.lines()
    count = len(screen.written)
    for _ in range(10):
        screen.now += 0.001
        screen.tree.tick()
    assert len(screen.written) == count


def test_what_is_over_goes_first_where_there_is_little_room() -> None:
    screen = Screen(rows=8)
    for number in range(20):
        screen.take("StepStarted", **step(f"s{number}", f"step {number}"))
        if number < 19:
            screen.take("StepFinished", step=f"s{number}", cached=number % 2 == 0)
    lines = screen.lines()
    assert len(lines) == 6 and lines[0].startswith("Building x  19/20") and "step 19" in lines[-1]
    for number in range(20, 40):
        screen.take("StepStarted", **step(f"s{number}", f"step {number}"))
    assert len(screen.lines()) == 6
    screen.size = (0, 0)  # unknown
    assert len(screen.lines()) <= 22


def test_warnings_stand_below() -> None:
    screen = Screen()
    finding = {"rule": "R", "message": "m\x1b[0m", "location": {"file": "Df", "first": 3, "last": 3}}
    screen.take("Noticed", finding=finding)
    screen.tree.close()
    assert screen.written[-1] == "WARNING: R: m[0m (Df:3)\n"
    assert notice_text({"rule": "", "message": "plain"}) == "WARNING: plain"


@pytest.mark.parametrize(
    ("text", "columns", "shown"),
    [
        ("short", 10, "short"),
        ("exactly ten", 11, "exactly ten"),
        ("much too long", 8, "much to…"),
        ("日本語", 6, "日本語"),
        ("日本語です", 6, "日本…"),
        ("e\u0301te\u0301", 3, "e\u0301te\u0301"),
        ("a\tb", 10, "a   b"),
    ],
)
def test_texts_fit(text: str, columns: int, shown: str) -> None:
    assert fitted(text, columns) == shown and width(shown) <= columns


def test_lines_are_cut_from_the_top() -> None:
    lines = [("1", "title", "")] + [("32", str(number), "") for number in range(5)] + [("33", "runs", "")]
    assert [line[1] for line in shortened(lines, 4)] == ["title", "3", "4", "runs"]


def test_steps_keep_the_last_lines() -> None:
    steps = Steps(lambda: 0.0)
    steps.begin(step("a", "one"))
    one = steps.all["a"]
    assert one.state == RUNNING and one.number == 1
    for number in range(20):
        steps.say(said("a", f"{number}\n"))
    steps.say(said("a", "10%\r20%\r30%\nend"))
    steps.say({"step": "a", "stream": 2, "data": base64.b64encode(b"\xff!\n").decode()})
    assert one.finish_output() == ["end"]
    assert one.tail[-3:] == ["30%", "\ufffd!", "end"] and len(one.tail) == TAIL_LINES
    assert steps.say(said("unknown", "x")) is None and steps.progress({"step": "?"}) is None


def test_a_line_that_never_ends_does_not_grow() -> None:
    steps = Steps(lambda: 0.0)
    steps.begin(step("a", "one"))
    for _ in range(100):
        steps.say(said("a", "x" * 1000))
    assert sum(len(data) for data in steps.all["a"]._open.values()) <= 4000


def test_states_of_steps() -> None:
    steps = Steps(lambda: 5.0)
    steps.plan({"steps": [step("a", "A"), step("b", "B"), {"step": "e", "name": "ENV", "instruction": "ENV"}]})
    assert [one.state for one in steps.all.values()] == [WAITING, WAITING]
    assert steps.begin({"step": "e", "name": "ENV", "instruction": "ENV"}) is None
    assert steps.finish({"step": "e"}) is None
    steps.finish({"step": "a", "cached": True})
    steps.begin(step("b", "B"))
    steps.finish({"step": "b", "error": "no", "seconds": 2.0})
    assert [one.state for one in steps.all.values()] == [CACHED, FAILED] and steps.elapsed(steps.all["b"]) == 2.0
    steps.finish({"step": "b"})
    assert steps.all["b"].state == DONE
