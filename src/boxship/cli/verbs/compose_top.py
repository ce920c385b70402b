"""boxship compose top: the processes of services, by ps."""

from __future__ import annotations

from boxship.cli.call import Call
from boxship.cli.composing.flags import DRY_RUN
from boxship.cli.flags import Command

COMMAND = Command("[SERVICE...]", (DRY_RUN,), most=None, completes=("services",))


def run(call: Call) -> int:
    from boxship.cli.composing.opening import Opening
    from boxship.cli.composing.seen import containers, number_of, service_of
    from boxship.cli.table import align

    opening = Opening(call)
    rows: list[list[str]] = []
    titles: list[str] = []
    for item in containers(opening, opening.project(), call.arguments, stopped=False):
        found = opening.host.reach.daemon.get(f"/containers/{item['Id']}/top")
        titles = titles or found["Titles"]
        for process in found["Processes"] or []:
            columns = dict(zip(found["Titles"], process, strict=False))
            rows.append([service_of(item), str(number_of(item)), *(columns.get(title, "-") for title in titles)])
    if rows:
        call.write(align([["SERVICE", "#", *titles], *rows], 5))
    return 0
