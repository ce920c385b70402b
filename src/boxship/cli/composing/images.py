"""Images: pulled, pushed, removed, with credentials from where `login` keeps them and progress in bytes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable

from boxship.cli.composing.reach import Reach
from boxship.cli.credentials import auth_header
from boxship.cli.daemon import DaemonError
from boxship.cli.escape import path_of
from boxship.cli.text import split_reference
from boxship.compose.model import Project
from boxship.compose.planning import actions as kinds
from boxship.compose.running.host import News
from boxship.errors import Unavailable

Tell = Callable[[News], None]


def pull(reach: Reach, project: Project, action: kinds.PullImage, tell: Tell) -> str:
    name, tag = split_reference(action.image)
    query = {"fromImage": name, "tag": tag or "latest", "platform": action.platform or None}
    response = reach.daemon.request(
        "POST", "/images/create", query, headers=auth_header(reach.call, action.image), own_connection=True
    )
    follow(response.lines(), "Pulling", tell)
    return ""


def push(reach: Reach, project: Project, action: kinds.PushImage, tell: Tell) -> str:
    name, tag = split_reference(action.image)
    response = reach.daemon.request(
        "POST",
        f"/images/{path_of(name)}/push",
        {"tag": tag or "latest"},
        headers=auth_header(reach.call, action.image),
        own_connection=True,
    )
    follow(response.lines(), "Pushing", tell)
    return ""


def remove(reach: Reach, project: Project, action: kinds.RemoveImage, tell: Tell) -> str:
    try:
        reach.daemon.delete(f"/images/{path_of(action.image)}")
    except DaemonError as error:
        if error.status != 404:
            raise
    return ""


def follow(lines: Iterable[bytes], doing: str, tell: Tell) -> None:
    """The daemon's progress as one sum over all layers. Raises Unavailable for an error in the stream."""
    sizes: dict[str, tuple[int, int]] = {}
    for line in lines:
        news = json.loads(line)
        if news.get("error") or news.get("errorDetail"):
            raise Unavailable((news.get("errorDetail") or {}).get("message") or news["error"])
        detail, layer = news.get("progressDetail") or {}, news.get("id") or ""
        if detail.get("total") and news.get("status") != "Extracting":
            sizes[layer] = (int(detail.get("current") or 0), int(detail["total"]))
        elif layer in sizes and news.get("status") in ("Download complete", "Pull complete", "Pushed"):
            sizes[layer] = (sizes[layer][1], sizes[layer][1])
        else:
            continue
        tell(News(doing, sum(size[0] for size in sizes.values()), sum(size[1] for size in sizes.values())))
