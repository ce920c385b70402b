"""boxship compose images: which images the containers were made of."""

from __future__ import annotations

from boxship.cli.call import Call
from boxship.cli.composing.flags import DRY_RUN, FORMAT
from boxship.cli.flags import Command, Flag

COMMAND = Command(
    "[SERVICE...]", (DRY_RUN, FORMAT, Flag("-q, --quiet", "Only display IDs")), most=None, completes=("services",)
)


def run(call: Call) -> int:
    from boxship.cli.composing.opening import Opening
    from boxship.cli.composing.seen import containers
    from boxship.cli.composing.tables import check_format, image_rows, images_table, json_text

    form = check_format(call)
    opening = Opening(call)
    rows = image_rows(opening, containers(opening, opening.project(), call.arguments))
    if call.options.on("quiet"):
        call.write("".join(f"{one}\n" for one in dict.fromkeys(row["ID"].removeprefix("sha256:") for row in rows)))
    elif form == "json":
        call.write(json_text(rows))
    else:
        call.write(images_table(rows))
    return 0
