"""A project's picture as SVG: one file, no fonts and no scripts of others, for a light and a dark background."""

from __future__ import annotations

from xml.sax.saxutils import escape

from boxship.compose.planning.graph import Graph
from boxship.compose.planning.graph_layout import Box, Layout, PlacedLane, PlacedLine, layout, title

X, Y = 8.0, 19.0  # pixels of a character's width and a line's height
EDGE = 24.0  # around everything
HEAD = 34.0  # for the project's name
FONT = 13

# name → on a light background, on a dark one
PALETTE = {
    "paper": ("#ffffff", "#14181e"),
    "ink": ("#1b2330", "#e6ebf1"),
    "soft": ("#5a6675", "#9aa7b5"),
    "box": ("#f4f6f9", "#1e252e"),
    "frame": ("#b9c2cd", "#455160"),
    "lane": ("#76828f", "#8794a3"),
    "up": ("#1a8f4c", "#3ecf7f"),
    "partly": ("#b97a00", "#f0b23e"),
    "down": ("#c8372d", "#ff7468"),
}
LINES = (
    ("#0b74c4", "#58b4f5"),
    ("#a83fb5", "#dc83e6"),
    ("#0a8a7d", "#3fcdbc"),
    ("#c2570c", "#f59556"),
    ("#5b5bd6", "#9d9dff"),
    ("#b52a5b", "#f4779f"),
    ("#5f7a12", "#b3cf57"),
    ("#7a5c3e", "#cfae8b"),
)
SHAPES = """
text { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace }
.name { font-weight: 600 } .volume { stroke-dasharray: 5 4 } .line { fill: none; stroke-width: 2 }
.lane { fill: none; stroke-width: 1.6 } .box { stroke-width: 1.2 } .word { stroke-width: 4; paint-order: stroke }
"""


def _style() -> str:
    """Colours for a light background, and those for a dark one where the reader prefers it."""
    light, dark = _colors(0), _colors(1)
    return f"{SHAPES}{light}\n@media (prefers-color-scheme: dark) {{ {dark} }}"


def _colors(scheme: int) -> str:
    tone = {name: colors[scheme] for name, colors in PALETTE.items()}
    rules = [
        f".paper {{ fill: {tone['paper']} }}",
        f"text {{ fill: {tone['ink']} }}",
        f".soft {{ fill: {tone['soft']} }}",
        f".word {{ fill: {tone['soft']}; stroke: {tone['paper']} }}",
        f".box {{ fill: {tone['box']}; stroke: {tone['frame']} }}",
        f".lane {{ stroke: {tone['lane']} }}",
        f".arrow {{ fill: {tone['lane']} }}",
        *(f".{state} {{ fill: {tone[state]} }}" for state in ("up", "partly", "down")),
        *(f".c{number} {{ stroke: {colors[scheme]} }}" for number, colors in enumerate(LINES)),
        *(f".f{number} {{ fill: {colors[scheme]} }}" for number, colors in enumerate(LINES)),
    ]
    return "\n".join(rules)


def svg(graph: Graph) -> str:
    """The whole file."""
    placed = layout(graph)
    width = max(EDGE * 2 + placed.width * X, EDGE * 2 + (len(graph.name) + 8) * 10)
    height = EDGE * 2 + HEAD + max(placed.height, 1) * Y
    name = escape(graph.name)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}" '
        f'viewBox="0 0 {width:g} {height:g}" role="img" font-size="{FONT}">',
        f"<title>{name}</title>",
        f"<style>{_style()}</style>",
        f'<rect class="paper" width="{width:g}" height="{height:g}"/>',
        f'<text class="name" x="{EDGE:g}" y="{EDGE + 12:g}" font-size="17">{name}</text>',
        f'<g transform="translate({EDGE:g} {EDGE + HEAD:g})">',
        *_body(placed),
        "</g>",
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _body(placed: Layout) -> list[str]:
    if not placed.boxes:
        return ['<text class="soft" y="12">no services</text>']
    parts = [part for line in placed.lines for part in _line(line)]
    parts += [part for lane in placed.lanes for part in _lane(lane)]
    return parts + [part for box in placed.boxes for part in _box(box)]


def _x(x: float) -> float:
    return x * X


def _middle(y: int) -> float:
    """Of a line of text."""
    return (y + 0.5) * Y


def _line(placed: PlacedLine) -> list[str]:
    color, kind = placed.number % len(LINES), placed.line.kind
    x, top = _x(placed.x), _middle(placed.top)
    path = f"M{x:g} {top:g}V{_middle(placed.bottom):g}"
    path += "".join(f"M{_x(stub.box_x):g} {_middle(stub.y):g}H{x:g}" for stub in placed.stubs)
    parts = [f'<path class="line {kind} c{color}" d="{path}"/>']
    if kind == "network":
        parts.append(f'<circle class="f{color}" cx="{x:g}" cy="{top:g}" r="5"/>')
    else:
        parts.append(f'<path class="f{color}" d="M{x - 6:g} {top - 4:g}v9c0 4 12 4 12 0v-9c0 -4 -12 -4 -12 0z"/>')
    text = escape(f"{placed.line.kind} {title(placed.line)}")
    parts.append(f'<text class="f{color}" x="{x + 12:g}" y="{top + 4:g}">{escape(title(placed.line))}</text>')
    for stub in placed.stubs:
        hint = f"<title>{text}{escape(': ' + stub.text) if stub.text else ''}</title>"
        parts.append(f'<circle class="f{color}" cx="{x:g}" cy="{_middle(stub.y):g}" r="4">{hint}</circle>')
    return parts


def _lane(placed: PlacedLane) -> list[str]:
    x, end, turn = _x(placed.x), _middle(placed.bottom), 6.0
    first, *others = sorted(placed.stubs, key=lambda stub: stub.y)
    path = f"M{_x(first.box_x):g} {_middle(first.y):g}H{x + turn:g}q{-turn:g} 0 {-turn:g} {turn:g}"
    path += f"V{end - turn:g}q0 {turn:g} {turn:g} {turn:g}H{_x(placed.box_x) - 7:g}"
    path += "".join(f"M{_x(stub.box_x):g} {_middle(stub.y):g}H{x:g}" for stub in others)
    tip = _x(placed.box_x)
    parts = [
        f'<path class="lane" d="{path}"/>',
        f'<path class="arrow" d="M{tip - 1:g} {end:g}l-9 -5v10z"/>',
    ]
    for stub in placed.stubs:
        if stub.text:
            place = f'x="{_x(stub.box_x) - 6:g}" y="{_middle(stub.y) + 4:g}"'
            parts.append(f'<text class="word" text-anchor="end" font-size="11" {place}>{escape(stub.text)}</text>')
    return parts


def _box(box: Box) -> list[str]:
    place = box.place
    left, top = _x(place.left), place.top * Y + Y * 0.35
    width, height = _x(place.right - place.left), (place.bottom - place.top) * Y - Y * 0.7
    parts = [f'<rect class="box" x="{left:g}" y="{top:g}" width="{width:g}" height="{height:g}" rx="7"/>']
    for number, text in enumerate(box.texts):
        kind, x = ("name", left + 2 * X) if number == 0 else ("soft", left + 2 * X)
        y = _middle(place.top + 1 + number)
        if number == 0 and box.node.state:
            parts.append(f'<circle class="{box.node.light}" cx="{x + 4:g}" cy="{y:g}" r="5"/>')
            text, x = text.removeprefix("● "), x + 2 * X
        parts.append(f'<text class="{kind}" x="{x:g}" y="{y + 4:g}">{escape(text)}</text>')
    return parts
