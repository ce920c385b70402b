"""The engine's pictures in the documents are those of its tables."""

from pathlib import Path

from boxship.engine import states


def test_the_drawn_life_of_a_container_is_the_table() -> None:
    text = (Path(__file__).parents[2] / "ARCHITECTURE.md").read_text()
    assert f"```mermaid\n{states.diagram()}\n```" in text
