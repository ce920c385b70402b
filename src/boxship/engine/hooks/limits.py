"""Sets the container's cgroup, its limits and its kernel settings."""

import posixpath

from boxship.engine.hooks import Draft, Pure, planned
from boxship.engine.placing import is_shared
from boxship.runtime.plan import HOST, NEW


class LimitsHook(Pure):
    def __init__(self, instance: str) -> None:
        self._instance = instance

    async def apply(self, draft: Draft) -> Draft:
        spec = draft.container.spec
        parent = posixpath.normpath(f"/{spec.cgroup_parent}").strip("/") or f"boxship-{self._instance}"
        return planned(
            draft,
            cgroup_path=f"/{parent}/{draft.container.id}",
            resources=spec.resources,
            ulimits=spec.ulimits,
            oom_score_adjustment=spec.oom_score_adjustment,
            sysctls=self._sysctls(draft),
        )

    def _sysctls(self, draft: Draft) -> dict[str, str]:
        """The user's, and Docker's defaults of a network namespace of the container's own: every user may ping and
        bind low ports, for the namespace guards them."""
        spec = draft.container.spec
        own_network = draft.plan.namespaces.network not in (HOST, NEW) and not is_shared(spec.network_mode)
        defaults = (
            {"net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": "0 2147483647"}
            if own_network and not spec.privileged
            else {}
        )
        return {**defaults, **spec.sysctls}
