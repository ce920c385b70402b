"""Where everything of a project's picture lies, in the picture's own units (a character is one wide, a line one high).

Rows lie below each other, as high as their box needs: a line for its name, one for each detail, and one for each line
that touches it from the left or the right. From left to right: the lanes, a free strip for words on the lanes, the
boxes, each layer further in, and the networks and volumes.
"""

from __future__ import annotations

from msgspec import Struct

from boxship.compose.planning.graph import Graph, Lane, Line, Node

LANE_WIDTH = 3
STRIP_WIDTH = 11  # "completed" and an arrow
INDENT_WIDTH = 4
LINE_WIDTH = 5
LINE_MARGIN = 3  # between the boxes and the first line
ROW_GAP = 1
PADDING = 2  # left and right of a box's text, its frame too
LONGEST_TEXT = 46


class Rectangle(Struct, frozen=True):
    """`left` and `top` belong to it, `right` and `bottom` are the first beyond it."""

    left: int
    top: int
    right: int
    bottom: int


class Box(Struct, frozen=True):
    """`incoming` is where its lane arrives, or -1."""

    node: Node
    place: Rectangle
    texts: tuple[str, ...]
    incoming: int


class Stub(Struct, frozen=True):
    """A level line from a box to a lane or a line, with a word at the box."""

    y: int
    box_x: int
    line_x: int
    text: str = ""


class PlacedLane(Struct, frozen=True):
    lane: Lane
    x: int
    top: int
    bottom: int  # where it turns to the box that it is about
    box_x: int
    stubs: tuple[Stub, ...]


class PlacedLine(Struct, frozen=True):
    """`top` is the height of its name, which stands to the right of it."""

    line: Line
    number: int
    x: int
    top: int
    bottom: int
    stubs: tuple[Stub, ...]


class Layout(Struct, frozen=True):
    width: int
    height: int
    boxes: tuple[Box, ...] = ()
    lanes: tuple[PlacedLane, ...] = ()
    lines: tuple[PlacedLine, ...] = ()


def title(line: Line) -> str:
    return harmless(f"{line.name} ({line.note})" if line.note else line.name)


def harmless(text: str) -> str:
    """Names come from files of others: nothing in them may steer a terminal, or be no character of XML."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def shortened(text: str) -> str:
    text = harmless(text)
    return text if len(text) <= LONGEST_TEXT else f"{text[: LONGEST_TEXT // 2]}…{text[-(LONGEST_TEXT // 2 - 1) :]}"


def layout(graph: Graph) -> Layout:
    """Place a graph's parts."""
    left = LANE_WIDTH * (1 + max((lane.place for lane in graph.lanes), default=-1))
    left += STRIP_WIDTH if graph.lanes else 0
    width = max((len(text) for node in graph.nodes for text in _texts(node)), default=0) + 2 * PADDING
    head = len(graph.lines) + 1 if graph.lines else 0
    boxes, top = [], head
    for node in graph.nodes:
        box = _box(graph, node, left, top, width)
        boxes.append(box)
        top = box.place.bottom + ROW_GAP
    right = max((box.place.right for box in boxes), default=left)
    lanes = tuple(_lane(graph, boxes, lane, left - STRIP_WIDTH) for lane in graph.lanes)
    lines = tuple(
        _line(graph, boxes, line, number, right + LINE_MARGIN + number * LINE_WIDTH)
        for number, line in enumerate(graph.lines)
    )
    total = max([right, *(placed.x + 2 + len(title(placed.line)) for placed in lines)], default=0)
    return Layout(total, max(top - ROW_GAP, 0), tuple(boxes), lanes, lines)


def _texts(node: Node) -> tuple[str, ...]:
    name = f"{node.name} ×{node.replicas}" if node.replicas != 1 else node.name
    first = f"● {name} ({node.state})" if node.state else name
    return tuple(shortened(text) for text in (first, *node.details))


def _outgoing(graph: Graph, node: Node) -> list[Lane]:
    return [lane for lane in graph.lanes if any(tie.row == node.row for tie in lane.ties)]


def _touching(graph: Graph, node: Node) -> list[Line]:
    return [line for line in graph.lines if any(tie.row == node.row for tie in line.ties)]


def _box(graph: Graph, node: Node, left: int, top: int, width: int) -> Box:
    incoming = any(lane.target == node.row for lane in graph.lanes)
    ends = max(incoming + len(_outgoing(graph, node)), len(_touching(graph, node)))
    texts = _texts(node)
    x = left + node.layer * INDENT_WIDTH
    place = Rectangle(x, top, x + width, top + 2 + max(len(texts), ends))
    return Box(node, place, texts, top + 1 if incoming else -1)


def _lane(graph: Graph, boxes: list[Box], lane: Lane, left: int) -> PlacedLane:
    x = left - lane.place * LANE_WIDTH - LANE_WIDTH + 1
    stubs = []
    for tie in lane.ties:
        box = boxes[tie.row]
        y = box.place.top + 1 + (box.incoming >= 0) + _outgoing(graph, box.node).index(lane)
        stubs.append(Stub(y, box.place.left, x, tie.text))
    target = boxes[lane.target]
    return PlacedLane(lane, x, min(stub.y for stub in stubs), target.incoming, target.place.left, tuple(stubs))


def _line(graph: Graph, boxes: list[Box], line: Line, number: int, x: int) -> PlacedLine:
    stubs = []
    for tie in line.ties:
        box = boxes[tie.row]
        y = box.place.top + 1 + _touching(graph, box.node).index(line)
        stubs.append(Stub(y, box.place.right, x, harmless(tie.text)))
    return PlacedLine(line, number, x, number, max(stub.y for stub in stubs), tuple(stubs))
