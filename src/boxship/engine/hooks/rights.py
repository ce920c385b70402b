"""Decides what the process may do: capabilities, system calls, devices, hidden paths."""

import msgspec

from boxship.engine.hooks import Draft, Pure, planned
from boxship.runtime import security


class RightsHook(Pure):
    async def apply(self, draft: Draft) -> Draft:
        spec = draft.container.spec
        rights, warnings = security.rights(
            privileged=spec.privileged,
            add=spec.capabilities_add,
            drop=spec.capabilities_drop,
            options=spec.security_options,
            masked_paths=spec.masked_paths,
            read_only_paths=spec.read_only_paths,
            devices=spec.devices,
        )
        return msgspec.structs.replace(planned(draft, rights=rights), warnings=(*draft.warnings, *warnings))
