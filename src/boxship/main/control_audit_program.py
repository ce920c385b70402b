"""`boxship-control audit verify FILE`: has anything been changed in an audit log, or taken out of it?"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from boxship.cluster.api.audit.journal import parts_of, verify


def run(arguments: Sequence[str]) -> None:
    """Ends with status 1 where something is wrong, or there is no such log."""
    parser = argparse.ArgumentParser(prog="boxship-control audit", description="Look after an audit log.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verb = verbs.add_parser("verify", help="check the chain of hashes, through older files of the log as well")
    verb.add_argument("file", type=Path, help="the log that is written to, as --audit-log names it")
    path = parser.parse_args(arguments).file
    files = [file for file in parts_of(path) if file.exists()]
    if not files:
        raise SystemExit(f"boxship-control: cannot read {path}: no such file")
    count, wrong = verify(files)
    for line in wrong:
        print(line)
    print(f"{count} lines in {len(files)} files: {'damaged' if wrong else 'whole'}")
    if wrong:
        raise SystemExit(1)
