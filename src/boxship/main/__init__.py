"""The composition root: builds every room by constructor, starts the doors, stops in reverse.

It alone, with the command line, reads arguments and the environment.
"""


def main() -> None:
    """Entry point of the program boxshipd."""
    from boxship.main.daemon import run

    run()


def control() -> None:
    """Entry point of the program boxship-control."""
    from boxship.main.control import run

    run()
