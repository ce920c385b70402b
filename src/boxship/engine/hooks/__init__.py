"""The hooks of a container's start, one file each, all of the same shape; `engine.start` holds their order."""

from typing import Protocol

import msgspec

from boxship.engine.model import Container
from boxship.runtime.plan import Plan
from boxship.spec.attachment import Attachment


class Draft(msgspec.Struct, frozen=True):
    """What has been joined so far: the record, the runtime's plan, and warnings for the user."""

    container: Container
    plan: Plan
    warnings: tuple[str, ...] = ()
    attachment: Attachment = Attachment()


class Hook(Protocol):
    """One contribution to a start. `release` gives back what `apply` took, and may be called without it or twice."""

    async def apply(self, draft: Draft) -> Draft: ...

    async def release(self, container: Container) -> None: ...


class Pure:
    """A hook that takes nothing and so has nothing to give back."""

    async def release(self, container: Container) -> None:
        return


def planned(draft: Draft, **changes: object) -> Draft:
    """The draft with fields of its plan replaced."""
    return msgspec.structs.replace(draft, plan=msgspec.structs.replace(draft.plan, **changes))
