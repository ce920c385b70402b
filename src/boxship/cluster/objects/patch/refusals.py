"""How a patch that cannot be used is refused."""

from boxship.cluster.objects.failure import Failure, bad_request

DEEPEST = "the patch or the object is nested too deeply"


def unusable(why: str) -> Failure:
    """422: the patch is well formed and does not fit the object. The original says only the first half."""
    return Failure(422, "Invalid", f"the server rejected our request due to an error in our request: {why}")


def malformed(why: str) -> Failure:
    """400: this is no patch."""
    return bad_request(why)


def too_many(why: str) -> Failure:
    """413."""
    return Failure(413, "RequestEntityTooLarge", f"Request entity too large: {why}")


def go_kind(value: object) -> str:
    """What Go's decoder calls a JSON value."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "string"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, list):
        return "array"
    return "object" if isinstance(value, dict) else "null"
