"""Which function carries out which kind of action."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from boxship.cli.composing import acting, images
from boxship.cli.composing.acting import Once
from boxship.cli.composing.awaiting import await_container, watch_container
from boxship.cli.composing.reach import Reach
from boxship.compose.model import Project
from boxship.compose.planning import actions as kinds
from boxship.compose.planning.actions import Action
from boxship.compose.running.host import News

Tell = Callable[[News], None]


def perform(
    reach: Reach,
    project: Project,
    action: Action,
    tell: Tell,
    *,
    build: Callable[[Project, kinds.BuildImage, Tell], str],
    once: Once | None,
) -> str:
    """The id of what was made, or ""."""
    if isinstance(action, kinds.BuildImage):
        return build(project, action, tell)
    if isinstance(action, kinds.AwaitContainer):
        await_container(reach, action, tell)
        return ""
    if isinstance(action, kinds.WatchContainer):
        watch_container(reach, action)
        return ""
    if isinstance(action, kinds.CreateContainer) and action.one_off and once:
        return acting.create_container(reach, project, action, tell, once)
    return PERFORMERS[type(action)](reach, project, action, tell)


PERFORMERS: dict[type[Action], Callable[[Reach, Project, Any, Tell], str]] = {
    kinds.PullImage: images.pull,
    kinds.PushImage: images.push,
    kinds.RemoveImage: images.remove,
    kinds.CreateNetwork: acting.create_network,
    kinds.RemoveNetwork: acting.remove_network,
    kinds.CreateVolume: acting.create_volume,
    kinds.RemoveVolume: acting.remove_volume,
    kinds.CreateContainer: acting.create_container,
    kinds.RenameContainer: acting.rename_container,
    kinds.StartContainer: acting.start_container,
    kinds.StopContainer: acting.stop_container,
    kinds.RestartContainer: acting.restart_container,
    kinds.KillContainer: acting.kill_container,
    kinds.PauseContainer: acting.pause_container,
    kinds.UnpauseContainer: acting.unpause_container,
    kinds.RemoveContainer: acting.remove_container,
    kinds.ConnectNetwork: acting.connect_network,
    kinds.DisconnectNetwork: acting.disconnect_network,
    kinds.Pass: acting.do_nothing,
}
