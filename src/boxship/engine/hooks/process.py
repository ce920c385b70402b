"""Says what runs and as whom: users and groups are looked up in the container's own files."""

from boxship.engine import merging
from boxship.engine.hooks import Draft, Pure, planned
from boxship.runtime.plan import NEW
from boxship.runtime.users import resolve_user


class ProcessHook(Pure):
    async def apply(self, draft: Draft) -> Draft:
        container = draft.container
        identity = resolve_user(
            draft.plan.rootfs, container.process.user, container.spec.groups, container.spec.groups_policy
        )
        environment = merging.runtime_environment(
            container.process, hostname=draft.plan.hostname, home=identity.home, tty=container.spec.tty
        )
        return planned(
            draft,
            arguments=container.process.arguments,
            environment=environment,
            working_directory=container.process.working_directory or "/",
            identity=identity,
            tty=container.spec.tty,
            console_size=container.spec.console_size,
            init=bool(container.spec.init) and draft.plan.namespaces.pid == NEW,  # elsewhere is one already
            annotations=container.spec.annotations,
        )
