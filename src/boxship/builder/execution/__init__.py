"""Carries a build's steps out: copies, commands, checksums. `Execution` is imported when it is first asked for, because
the child program comes through this file too, without site-packages and in a hurry."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from boxship.builder.execution.execution import Execution as Execution


def __getattr__(name: str) -> object:
    if name != "Execution":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from boxship.builder.execution.execution import Execution

    return Execution
