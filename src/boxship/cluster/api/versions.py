"""What a client's resourceVersion and resourceVersionMatch mean, and which of their combinations there are.

Source: kubernetes.io, "API Concepts", "Resource versions"; k8s.io/apimachinery, validation of ListOptions (texts).
"""

import asyncio
from collections.abc import Sequence

from boxship.cluster.api.request import Options
from boxship.cluster.objects.failure import Cause, Failure, bad_request, invalid
from boxship.store import Store

WAIT = 3.0  # seconds that a read waits for a revision that has not come yet
STEP = 0.02  # seconds between two looks
EXACT, NOT_OLDER = "Exact", "NotOlderThan"
DIGITS_LIMIT = 19


def number(text: str) -> int:
    """A resourceVersion as a revision; "" is 0. Raises Failure 400."""
    if text == "":
        return 0
    if not (text.isascii() and text.isdigit()) or len(text) > DIGITS_LIMIT:
        raise bad_request(f'Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax')
    return int(text)


def check_list(options: Options) -> None:
    """Raises Failure 400 or 422 for combinations that make no sense in a list."""
    wrong: list[Cause] = []
    match, place = options.match, "resourceVersionMatch"
    if match:
        if not options.version:
            wrong.append(_forbidden(place, f"{place} is forbidden unless resourceVersion is provided"))
        if options.token:
            wrong.append(_forbidden(place, f"{place} is forbidden when continue is provided"))
        if match not in (EXACT, NOT_OLDER):
            wrong.append(_not_supported(match, (EXACT, NOT_OLDER, "")))
        if match == EXACT and options.version == "0":
            wrong.append(_forbidden(place, f'{place} "exact" is forbidden for resourceVersion "0"'))
    if _says_initial(options):
        wrong.append(_forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    _refuse(wrong)
    number(options.version)
    if options.token and options.version not in ("", "0"):
        raise bad_request("specifying resource version is not allowed when using continue")


def check_watch(options: Options) -> None:
    """The same for a watch."""
    wrong: list[Cause] = []
    match, place = options.match, "resourceVersionMatch"
    initial = _says_initial(options)
    if initial and match != NOT_OLDER:
        wrong.append(_forbidden(place, f"sendInitialEvents requires setting {place} to {NOT_OLDER}"))
    if match:
        if not initial:
            wrong.append(_forbidden(place, f"{place} is forbidden for watch unless sendInitialEvents is provided"))
        if match != NOT_OLDER:
            wrong.append(_not_supported(match, (NOT_OLDER,)))
    if options.token:
        if match:
            wrong.append(_forbidden(place, f"{place} is forbidden when continue is provided"))
        else:
            wrong.append(_forbidden("continue", "continue is forbidden for watch"))
    _refuse(wrong)
    number(options.version)


def _says_initial(options: Options) -> bool:
    """Whether sendInitialEvents stands in the query, whatever it says."""
    return options.initial_events or bool(options.parameters.get("sendInitialEvents"))


async def wait_until_known(store: Store, revision: int) -> int:
    """Wait a little until the store has this revision; the newest one. Raises Failure 504."""
    now = await store.revision()
    tries = int(WAIT / STEP)
    while now < revision and tries > 0:
        await asyncio.sleep(STEP)
        tries -= 1
        now = await store.revision()
    if now < revision:
        raise too_large(revision, now)
    return now


def too_large(asked: int, newest: int) -> Failure:
    message = f"Timeout: Too large resource version: {asked}, current: {newest}"
    cause = Cause("ResourceVersionTooLarge", "", "Too large resource version")
    return Failure(504, "Timeout", message, causes=(cause,), retry_after=1)


def _forbidden(field: str, why: str) -> Cause:
    return Cause("FieldValueForbidden", field, f"Forbidden: {why}")


def _not_supported(value: str, offered: Sequence[str]) -> Cause:
    listed = ", ".join(f'"{each}"' for each in offered)
    message = f'Unsupported value: "{value}": supported values: {listed}'
    return Cause("FieldValueNotSupported", "resourceVersionMatch", message)


def _refuse(wrong: list[Cause]) -> None:
    if wrong:
        raise invalid("meta.k8s.io", "ListOptions", "", wrong)
