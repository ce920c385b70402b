"""The kinds of error that cross a room's border.

Each door has one table from these kinds to its wire form. A message reads "cannot X NAME: why", or is the exact text
that a client of that door matches. Errors are never told apart by their text inside Boxship.
"""


class BoxshipError(Exception):
    """Root of every error that a user may see; `str(error)` is the whole message."""


class NotFound(BoxshipError):
    """The named thing does not exist."""


class Exists(BoxshipError):
    """A thing of that name is there already."""


class Invalid(BoxshipError):
    """The request itself is wrong: syntax, type, range, contradiction."""


class Conflict(BoxshipError):
    """The thing exists, but its state does not allow the request."""


class Unchanged(BoxshipError):
    """The thing is already as it was asked to be."""


class Denied(BoxshipError):
    """The caller is known and may not do this."""


class Unauthenticated(BoxshipError):
    """The caller is not known."""


class Unavailable(BoxshipError):
    """A part that is needed does not answer now; a later try may work."""


class Unsupported(BoxshipError):
    """A documented feature that Boxship does not have; the message is "unsupported: NAME"."""


class Exhausted(BoxshipError):
    """A limit is reached: space, addresses, ports, a quota."""


class Timeout(BoxshipError):
    """A deadline passed."""


class Canceled(BoxshipError):
    """The caller went away or withdrew the request."""


class Internal(BoxshipError):
    """An operating error below us (the kernel, the runtime) that no user input explains."""
