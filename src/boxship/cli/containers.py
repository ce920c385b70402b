"""Making a container from the flags of `create` and `run`: validate, pull when missing, create, note the id."""

from __future__ import annotations

import os

from boxship.cli.call import Call, Failure
from boxship.cli.create_body import create_body
from boxship.cli.daemon import DaemonError, Object
from boxship.cli.terminal import is_terminal, terminal_size
from boxship.cli.text import split_reference

PULL_CHOICES = ("always", "missing", "never")
REFUSED = 125
NOT_HERE = ("No such image", "does not match the specified platform")


def make_container(call: Call, *, detached: bool) -> tuple[str, Object]:
    """The new container's id, and the body it was made of."""
    options = call.options
    image, *command = call.arguments
    pull = options.text("pull")
    if pull not in PULL_CHOICES:
        raise Failure(f"invalid pull option: '{pull}': must be one of {', '.join(PULL_CHOICES)}", REFUSED)
    body = create_body(options, image, command, call.environment, detached=detached)
    if body["Tty"] and is_terminal(1):
        body["HostConfig"]["ConsoleSize"] = list(terminal_size(1))
    path = options.text("cidfile")
    if path and os.path.exists(path):
        raise Failure(f"container ID file found, make sure the other container isn't running or delete {path}", REFUSED)
    query = {"name": options.text("name") or None, "platform": options.text("platform") or None}
    if pull == "always":
        pull_image(call, image)
    try:
        answer = call.daemon.post("/containers/create", query, body=body)
    except DaemonError as error:
        if error.status != 404 or pull != "missing" or not any(text in str(error) for text in NOT_HERE):
            raise
        if not options.on("quiet"):
            call.warn(f"Unable to find image '{_tagged(image)}' locally")
        pull_image(call, image)
        answer = call.daemon.post("/containers/create", query, body=body)
    for warning in answer.get("Warnings") or []:
        call.warn(f"WARNING: {warning}")
    if path:
        with open(path, "w", encoding="ascii") as file:
            file.write(answer["Id"])
    identifier: str = answer["Id"]
    return identifier, body


def _tagged(image: str) -> str:
    return image if "@" in image or ":" in image.rpartition("/")[2] else f"{image}:latest"


def pull_image(call: Call, image: str, descriptor: int = 2, *, every_tag: bool = False) -> None:
    """Ask the daemon to fetch an image, and show how that goes on the descriptor."""
    from boxship.cli.credentials import auth_header
    from boxship.cli.progress import show_progress

    name, tag = split_reference(image)
    query = {
        "fromImage": name,
        "tag": tag or (None if every_tag else "latest"),
        "platform": call.options.text("platform") or None,
    }
    headers = auth_header(call, image)
    response = call.daemon.request("POST", "/images/create", query, headers=headers, own_connection=True)
    show_progress(response.lines(), descriptor, quiet=call.options.on("quiet"))
