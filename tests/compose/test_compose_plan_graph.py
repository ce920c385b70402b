"""A project's picture: what is in it, and that no line crosses a box and no text another, whatever the project."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from typing import Any

from compose_plan_kit import changed, named_volume, needs, project, published, service
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from boxship.compose.model import Network, Project
from boxship.compose.parts import ServiceNetwork
from boxship.compose.planning.graph import graph
from boxship.compose.planning.graph_layout import Layout, Rectangle, layout, title
from boxship.compose.planning.graph_svg import svg
from boxship.compose.planning.graph_text import text
from boxship.compose.planning.observed import Observed, SeenContainer

SHOP = project(
    service("proxy", networks={"front": None}, ports=(published(8080),), depends_on=needs("web")),
    service(
        "web",
        scale=3,
        networks={"front": None, "back": ServiceNetwork(ipv4_address="10.0.0.5")},
        depends_on=needs("db", condition="service_healthy"),
    ),
    service("db", networks={"back": None}, volumes=(named_volume("data", "/var/lib/data"),)),
    networks={"front": Network(name="f"), "back": Network(name="b", internal=True)},
)

DRAWN = """\
                                                    ○ front
                                                    │    ○ back (internal)
                                                    │    │    ▤ data
                                                    │    │    ┊
                 ╭──────────────────────╮           │    │    ┊
    ╭────────────┤ ● proxy (down)       ├───────────●    │    ┊
    │            │ proxy:1              │           │    │    ┊
    │            │ 8080 → 80            │           │    │    ┊
    │            ╰──────────────────────╯           │    │    ┊
    │                                               │    │    ┊
    │                ╭──────────────────────╮       │    │    ┊
    ╰───────────────▶│ ● web ×3 (partly)    ├───────●    │    ┊
 ╭──────────healthy──┤ web:1                ├────────────●    ┊
 │                   │ back 10.0.0.5        │            │    ┊
 │                   ╰──────────────────────╯            │    ┊
 │                                                       │    ┊
 │                       ╭──────────────────────╮        │    ┊
 ╰──────────────────────▶│ ● db (up)            ├────────●    ┊
                         │ db:1                 ├─────────────●
                         │ data → /var/lib/data │
                         ╰──────────────────────╯
"""


def seen_shop() -> Observed:
    def one(name: str, **fields: Any) -> SeenContainer:
        return SeenContainer(id=name, name=name, service=name, **fields)

    return Observed(containers=(one("db", state="running", health="healthy"), one("web", state="running")))


def test_the_terminal_shows_services_states_networks_and_volumes() -> None:
    assert text(graph(SHOP, seen_shop())) == DRAWN
    assert "\x1b[32m●" in text(graph(SHOP, seen_shop()), color=True)
    ended = SeenContainer(id="db", name="db", service="db", state="exited")
    waits = changed(SHOP, "web", depends_on=needs("db", condition="service_completed_successfully"))
    assert "db (done)" in text(graph(waits, Observed(containers=(ended,))))
    assert "(up)" not in text(graph(SHOP)) and "●" in text(graph(SHOP))
    assert text(graph(Project(name="none"))) == "none: no services\n"


def test_one_word_for_all_containers_of_a_service() -> None:
    def state(*containers: tuple[str, str]) -> tuple[str, str]:
        seen = tuple(
            SeenContainer(id=str(number), name=f"db-{number}", service="db", state=state, health=health)
            for number, (state, health) in enumerate(containers)
        )
        node = next(node for node in graph(SHOP, Observed(containers=seen)).nodes if node.name == "db")
        return node.state, node.light

    assert state(("running", "")) == ("up", "up")
    assert state(("running", "starting")) == ("starting", "partly")
    assert state(("running", "unhealthy")) == ("unhealthy", "down")
    assert state(("paused", "")) == ("paused", "partly")
    assert state(("exited", ""), ("running", "starting")) == ("down", "down")


def test_the_svg_is_whole_and_says_the_same() -> None:
    picture = svg(graph(SHOP, seen_shop()))
    root = ElementTree.fromstring(picture)
    said = {"".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {
        "demo",
        "proxy (down)",
        "web ×3 (partly)",
        "db (up)",
        "8080 → 80",
        "front",
        "back (internal)",
        "data",
    } <= said
    assert "healthy" in said and "data → /var/lib/data" in said
    assert "prefers-color-scheme: dark" in picture and "http" not in picture.replace("http://www.w3.org/2000/svg", "")
    strange = project(service('<&>"', image="a&b<c>"), networks={"default": Network(name="x")})
    ElementTree.fromstring(svg(graph(strange)))
    ElementTree.fromstring(svg(graph(Project(name="n<o>ne"))))


@st.composite
def projects(draw: st.DrawFn) -> Project:
    names = [f"s{number}" * draw(st.integers(1, 9)) for number in range(draw(st.integers(1, 9)))]
    services = []
    for place, name in enumerate(names):
        earlier = draw(st.lists(st.sampled_from(names[:place]), unique=True)) if place else []
        volumes = draw(st.lists(st.sampled_from("uvw"), unique=True))
        condition = draw(st.sampled_from(["service_started", "service_completed_successfully"]))
        services.append(
            service(
                name,
                networks=dict.fromkeys(draw(st.lists(st.sampled_from(["a", "bb", "ccc"]), unique=True))),
                volumes=tuple(named_volume(source, f"/{source}") for source in volumes),
                depends_on=needs(*earlier, condition=condition),
            )
        )
    networks = {key: Network(name=key) for key in ("a", "bb", "ccc")}
    return project(*draw(st.permutations(services)), networks=networks)


def touches(one: Rectangle, other: Rectangle) -> bool:
    return one.left < other.right and other.left < one.right and one.top < other.bottom and other.top < one.bottom


def pieces(placed: Layout) -> list[tuple[str, Rectangle]]:
    """Every line as rectangles one wide: upright ones and level ones."""
    result = []
    for lane in placed.lanes:
        result.append(("upright", Rectangle(lane.x, lane.top, lane.x + 1, lane.bottom + 1)))
        result += [("level", Rectangle(lane.x, stub.y, stub.box_x, stub.y + 1)) for stub in lane.stubs]
        result.append(("level", Rectangle(lane.x, lane.bottom, lane.box_x, lane.bottom + 1)))
    for line in placed.lines:
        result.append(("upright", Rectangle(line.x, line.top, line.x + 1, line.bottom + 1)))
        result += [("level", Rectangle(stub.box_x, stub.y, line.x + 1, stub.y + 1)) for stub in line.stubs]
    return result


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(projects())
def test_nothing_lies_on_anything_else(wanted: Project) -> None:
    picture = graph(wanted)
    placed = layout(picture)
    boxes = [box.place for box in placed.boxes]
    titles = [
        Rectangle(line.x + 1, line.top, line.x + 2 + len(title(line.line)), line.top + 1) for line in placed.lines
    ]
    words = [
        Rectangle(stub.box_x - 1 - len(stub.text), stub.y, stub.box_x - 1, stub.y + 1)
        for lane in placed.lanes
        for stub in lane.stubs
        if stub.text
    ]
    solid = boxes + titles + words
    for number, one in enumerate(solid):
        assert all(not touches(one, other) for other in solid[:number])
        assert min(one.left, one.top) >= 0 and one.right <= placed.width + 1 and one.bottom <= placed.height
    lines = pieces(placed)
    for kind, line in lines:
        assert not any(touches(line, box) for box in boxes + titles)
        if kind == "upright":
            assert not any(touches(line, word) for word in words)
    for number, (kind, line) in enumerate(lines):
        assert all(kind != other_kind or not touches(line, other) for other_kind, other in lines[:number])
    rows = {node.name: node.row for node in picture.nodes}
    for name, one_service in wanted.services.items():
        assert all(rows[name] < rows[other] for other in one_service.depends_on)
        assert str(name) in text(picture)
    drawn = text(picture)
    assert sum(line.count("▶") for line in drawn.splitlines()) == len(placed.lanes)
    ElementTree.fromstring(svg(picture))


def test_names_neither_steer_the_terminal_nor_spoil_the_svg() -> None:
    wanted = project(
        service("web", networks={"front": None}, image="a\x1b[2Jb"), networks={"front": Network(name="n\x07")}
    )
    drawing = graph(wanted)
    assert text(drawing).replace("\n", "").isprintable()
    assert "a?[2Jb" in "".join(ElementTree.fromstring(svg(drawing)).itertext())
