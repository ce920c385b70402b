"""What a client's resourceVersion and resourceVersionMatch mean, and which of their combinations there are.

Source: kubernetes.io, "API Concepts", "Resource versions"; k8s.io/apimachinery, validation of ListOptions (texts).
"""

import asyncio

from boxship.cluster.api.request import Options
from boxship.cluster.objects.failure import Cause, Failure, bad_request, invalid
from boxship.store import Store

WAIT = 3.0  # seconds that a read waits for a revision that has not come yet
STEP = 0.02  # seconds between two looks
MATCHES = ("Exact", "NotOlderThan")
DIGITS_LIMIT = 19


def number(text: str) -> int:
    """A resourceVersion as a revision; "" is 0. Raises Failure 400."""
    if text == "":
        return 0
    if not (text.isascii() and text.isdigit()) or len(text) > DIGITS_LIMIT:
        raise bad_request(f'Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax')
    return int(text)


def check_list(options: Options) -> None:
    """Raises Failure 422 for combinations that make no sense in a list."""
    wrong: list[Cause] = []
    if options.initial_events:
        wrong.append(_forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    if options.match:
        why = ""
        if options.token:
            why = "resourceVersionMatch is forbidden when continue is provided"
        elif not options.version:
            why = "resourceVersionMatch is forbidden unless resourceVersion is provided"
        elif options.match == "Exact" and options.version == "0":
            why = 'resourceVersionMatch "Exact" is forbidden for resourceVersion "0"'
        if why:
            wrong.append(_forbidden("resourceVersionMatch", why))
        elif options.match not in MATCHES:
            wrong.append(_not_supported(options.match))
    _refuse(wrong)
    number(options.version)
    if options.token and options.version not in ("", "0"):
        raise bad_request("specifying resource version is not allowed when using continue")


def check_watch(options: Options) -> None:
    """The same for a watch."""
    wrong: list[Cause] = []
    if options.initial_events:
        if options.match != "NotOlderThan":
            why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
            wrong.append(
                _forbidden("resourceVersionMatch", why) if not options.match else _not_supported(options.match)
            )
    elif options.match:
        why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
        wrong.append(_forbidden("resourceVersionMatch", why))
    if options.token:
        wrong.append(_forbidden("continue", "continue is forbidden for watch"))
    _refuse(wrong)
    number(options.version)


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


def _not_supported(value: str) -> Cause:
    listed = ", ".join(f'"{each}"' for each in (*MATCHES, ""))
    message = f'Unsupported value: "{value}": supported values: {listed}'
    return Cause("FieldValueNotSupported", "resourceVersionMatch", message)


def _refuse(wrong: list[Cause]) -> None:
    if wrong:
        raise invalid("meta.k8s.io", "ListOptions", "", wrong)
