"""The `boxship` program. This file stays tiny: what a verb needs is imported when the verb is called, never before."""


def main() -> int:
    """Run the program with the process's own arguments; the return value is its exit code."""
    import sys

    from boxship.cli.program import run

    return run(sys.argv[1:])
