"""boxship compose graph: services, networks and volumes as a drawing, in the terminal or as SVG."""

from __future__ import annotations

from boxship.cli.call import Call, Failure
from boxship.cli.composing.flags import DRY_RUN
from boxship.cli.flags import Command, Flag

FORMS = ("text", "svg")
COMMAND = Command(
    "[SERVICE...]",
    (
        DRY_RUN,
        Flag("--format string", "Format of the drawing: 'text' or 'svg' (default: by the name of --output)"),
        Flag("--no-color", "Produce monochrome output"),
        Flag("--no-state", "Draw the file alone, without asking the daemon what runs"),
        Flag("-o, --output string", "Write to a file, instead of STDOUT", completes="files"),
    ),
    most=None,
    completes=("services",),
)


def run(call: Call) -> int:
    from boxship.cli.composing.opening import Opening
    from boxship.cli.terminal import is_terminal
    from boxship.compose.normal import used
    from boxship.compose.planning.graph import graph
    from boxship.compose.planning.graph_svg import svg
    from boxship.compose.planning.graph_text import text
    from boxship.compose.planning.selecting import select

    options = call.options
    output = options.text("output")
    form = options.text("format") or ("svg" if output.endswith(".svg") else "text")
    if form not in FORMS:
        raise Failure(f"unsupported: --format {form}: it must be {' or '.join(FORMS)}")
    opening = Opening(call)
    project = opening.project(call.arguments)
    project = used(select(project, call.arguments) if call.arguments else project)
    drawing = graph(project, None if options.on("no-state") else opening.observe(project))
    if form == "svg":
        drawn = svg(drawing)
    else:
        plain = options.on("no-color") or bool(output) or bool(call.environment.get("NO_COLOR"))
        drawn = text(drawing, color=is_terminal(1) and not plain)
    drawn = drawn if drawn.endswith("\n") else f"{drawn}\n"
    if output and output != "-":
        with open(output, "w", encoding="utf-8") as file:
            file.write(drawn)
    else:
        call.write(drawn)
    return 0
