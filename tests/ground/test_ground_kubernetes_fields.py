"""docs/kubernetes-fields.md tells every field of the schemas and every note, as its tool writes it."""

import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[2]


def test_the_page_is_what_the_schemas_and_the_notes_say() -> None:
    command = [sys.executable, str(PROJECT / "tools" / "kubernetes_fields.py")]
    made = subprocess.run(command, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL).stdout
    page = (PROJECT / "docs" / "kubernetes-fields.md").read_text()
    assert page == made, f"write it anew: {' '.join(command)} > docs/kubernetes-fields.md"
    assert page.count("\n## ") > 50
