"""A project's picture for a terminal: boxes and lines of characters."""

from __future__ import annotations

from boxship.compose.planning.graph import Graph
from boxship.compose.planning.graph_layout import Layout, layout, title

UP, DOWN, LEFT, RIGHT = 1, 2, 4, 8
CHARACTERS = {
    UP: "╵",
    DOWN: "╷",
    LEFT: "╴",
    RIGHT: "╶",
    UP | DOWN: "│",
    LEFT | RIGHT: "─",
    DOWN | RIGHT: "╭",
    DOWN | LEFT: "╮",
    UP | RIGHT: "╰",
    UP | LEFT: "╯",
    UP | DOWN | RIGHT: "├",
    UP | DOWN | LEFT: "┤",
    DOWN | LEFT | RIGHT: "┬",
    UP | LEFT | RIGHT: "┴",
    UP | DOWN | LEFT | RIGHT: "┼",
}
DASHED = {"│": "┊"}
LIGHTS = {"up": "32", "partly": "33", "down": "31"}
LINE_COLORS = ("36", "35", "34", "33", "32", "31")


class Canvas:
    """A field of characters; lines that meet are joined."""

    def __init__(self, width: int, height: int) -> None:
        self.cells = [[" "] * width for _ in range(height)]
        self.arms = [[0] * width for _ in range(height)]
        self.colors = [[""] * width for _ in range(height)]
        self.dashed = [[False] * width for _ in range(height)]

    def level(self, y: int, left: int, right: int, color: str = "") -> None:
        """A line from one place to another, both of them in it."""
        for x in range(left, right + 1):
            self._arm(x, y, (LEFT if x > left else 0) | (RIGHT if x < right else 0), color)

    def upright(self, x: int, top: int, bottom: int, color: str = "", dashed: bool = False) -> None:
        for y in range(top, bottom + 1):
            self.dashed[y][x] = self.dashed[y][x] or dashed
            self._arm(x, y, (UP if y > top else 0) | (DOWN if y < bottom else 0), color)

    def _arm(self, x: int, y: int, arms: int, color: str) -> None:
        self.arms[y][x] |= arms
        self.colors[y][x] = color or self.colors[y][x]

    def write(self, x: int, y: int, text: str, color: str = "") -> None:
        for offset, character in enumerate(text):
            self.cells[y][x + offset] = character
            self.colors[y][x + offset] = color

    def text(self, color: bool) -> str:
        lines = []
        for cells, arms, colors, dashed in zip(self.cells, self.arms, self.colors, self.dashed, strict=True):
            line = ""
            for cell, arm, code, dash in zip(cells, arms, colors, dashed, strict=True):
                shown = cell if cell != " " else CHARACTERS.get(arm, " ")
                shown = DASHED.get(shown, shown) if dash else shown
                line += f"\x1b[{code}m{shown}\x1b[0m" if color and code and shown != " " else shown
            lines.append(line.rstrip())
        return "\n".join(lines) + "\n" if lines else ""


def text(graph: Graph, color: bool = False) -> str:
    """The drawing, with the terminal's colours on wish."""
    placed = layout(graph)
    if not placed.boxes:
        return f"{graph.name}: no services\n"
    canvas = Canvas(placed.width, placed.height)
    _draw_lines(canvas, placed)
    _draw_lanes(canvas, placed)
    _draw_boxes(canvas, placed)
    return canvas.text(color)


def _draw_lines(canvas: Canvas, placed: Layout) -> None:
    for line in placed.lines:
        color = LINE_COLORS[line.number % len(LINE_COLORS)]
        canvas.upright(line.x, line.top, line.bottom, color, line.line.kind == "volume")
        for stub in line.stubs:
            canvas.level(stub.y, stub.box_x - 1, line.x, color)
    for line in placed.lines:
        color = LINE_COLORS[line.number % len(LINE_COLORS)]
        mark = "○" if line.line.kind == "network" else "▤"
        canvas.write(line.x, line.top, f"{mark} {title(line.line)}", color)
        for stub in line.stubs:
            canvas.write(line.x, stub.y, "●", color)


def _draw_lanes(canvas: Canvas, placed: Layout) -> None:
    for lane in placed.lanes:
        canvas.upright(lane.x, lane.top, lane.bottom)
        for stub in lane.stubs:
            canvas.level(stub.y, lane.x, stub.box_x)
        canvas.level(lane.bottom, lane.x, lane.box_x - 1)
    for lane in placed.lanes:
        canvas.write(lane.box_x - 1, lane.bottom, "▶")
        for stub in lane.stubs:
            canvas.write(stub.box_x - 2 - len(stub.text), stub.y, stub.text)


def _draw_boxes(canvas: Canvas, placed: Layout) -> None:
    for box in placed.boxes:
        place = box.place
        canvas.level(place.top, place.left, place.right - 1)
        canvas.level(place.bottom - 1, place.left, place.right - 1)
        canvas.upright(place.left, place.top, place.bottom - 1)
        canvas.upright(place.right - 1, place.top, place.bottom - 1)
        for number, line in enumerate(box.texts):
            color = "1" if number == 0 else ""
            canvas.write(place.left + 2, place.top + 1 + number, line, color)
        if box.node.state:
            canvas.write(place.left + 2, place.top + 1, "●", LIGHTS[box.node.light])
