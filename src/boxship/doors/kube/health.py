"""/healthz, /livez and /readyz with their named checks, as probes and people read them."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec

from boxship.cluster.objects.failure import no_such_path
from boxship.errors import BoxshipError
from boxship.transport.exchange import Reply

TEXT = {"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"}
ENDPOINTS = ("healthz", "livez", "readyz")

Test = Callable[[], Awaitable[None]]  # raises BoxshipError where something is wrong


class Check(msgspec.Struct, frozen=True):
    """One named check. `endpoints` are those that ask it."""

    name: str
    test: Test
    endpoints: tuple[str, ...] = ENDPOINTS


async def _well() -> None:
    return None


async def _passes(check: Check) -> bool:
    try:
        await check.test()
    except BoxshipError:
        return False
    return True


ALWAYS = (Check("ping", _well), Check("log", _well))


class Health:
    """The checks of one server, in their order."""

    def __init__(self, checks: Sequence[Check]) -> None:
        self._checks = (*ALWAYS, *checks)

    def paths(self) -> list[str]:
        """Every path that answers."""
        return [path for end in ENDPOINTS for path in (f"/{end}", *(f"/{end}/{each.name}" for each in self._of(end)))]

    def _of(self, endpoint: str) -> list[Check]:
        return [each for each in self._checks if endpoint in each.endpoints]

    async def answer(self, path: str, query: Mapping[str, list[str]]) -> Reply:
        """Of "/readyz", "/livez/ping" … Raises Failure for a check that does not exist."""
        endpoint, _, name = path.strip("/").partition("/")
        checks = self._of(endpoint)
        if name:
            checks = [each for each in checks if each.name == name]
            if not checks:
                raise no_such_path()
        excluded = {word for value in query.get("exclude", ()) for word in value.split(",") if word}
        asked = [check for check in checks if check.name not in excluded]
        well = dict(zip((each.name for each in asked), await asyncio.gather(*map(_passes, asked)), strict=True))
        lines, failed = [], []
        for check in checks:
            if check.name in excluded:
                excluded.discard(check.name)
                lines.append(f"[+]{check.name} excluded: ok")
            elif well[check.name]:
                lines.append(f"[+]{check.name} ok")
            else:
                failed.append(check.name)
                lines.append(f"[-]{check.name} failed: reason withheld")
        if excluded:
            quoted = ", ".join(f'"{each}"' for each in sorted(excluded))
            lines.append(f"warn: some health checks cannot be excluded: no matches for {quoted}")
        if failed:
            return Reply(500, TEXT, "\n".join([*lines, f"{endpoint} check failed", ""]).encode())
        if "verbose" in query and not name:
            return Reply(200, TEXT, "\n".join([*lines, f"{endpoint} check passed", ""]).encode())
        return Reply(200, TEXT, b"ok")
