"""Entry of the child program; descriptors and answers are those of `boxship.snapshots.child.__main__`."""

import os
import sys

sys.path.insert(0, os.path.abspath(__file__).removesuffix("/boxship/builder/execution/child/__main__.py"))

from boxship.builder.execution.child.jobs import JOBS
from boxship.snapshots.child.__main__ import main

if __name__ == "__main__":
    main(JOBS)
