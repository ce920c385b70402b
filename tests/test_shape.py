"""Holds the tail of the code's shape: no file, function or class grows beyond what there is.

The numbers may be lowered, never raised.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).parent.parent / "src" / "boxship"

FILE_LINES = 400
FUNCTION_LINES = 75
CLASS_METHODS = 29
NOT_A_NAME = {"utils", "helpers", "common", "manager"}
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def modules() -> Iterator[tuple[Path, str, ast.Module]]:
    for path in sorted(SOURCE.rglob("*.py")):
        text = path.read_text()
        yield path.relative_to(SOURCE), text, ast.parse(text)


def methods(node: ast.ClassDef) -> int:
    return sum(isinstance(part, FUNCTIONS) for part in node.body)


def test_files_functions_and_classes_stay_small() -> None:
    large = []
    for path, text, tree in modules():
        lines = len(text.splitlines())
        large += [f"{path}: {lines} lines"] if lines > FILE_LINES else []
        for node in ast.walk(tree):
            if isinstance(node, FUNCTIONS) and (node.end_lineno or 0) - node.lineno >= FUNCTION_LINES:
                large.append(f"{path}: the function {node.name} has more than {FUNCTION_LINES} lines")
            if isinstance(node, ast.ClassDef) and methods(node) > CLASS_METHODS:
                large.append(f"{path}: the class {node.name} has {methods(node)} methods")
    assert not large, "\n".join(large)


def test_every_module_says_what_it_is() -> None:
    silent = [str(path) for path, text, tree in modules() if tree.body and not ast.get_docstring(tree)]
    assert not silent, "\n".join(silent)


def test_names_mean_something() -> None:
    vague = [str(path) for path, _, _ in modules() if NOT_A_NAME & {*path.parts[:-1], path.stem}]
    assert not vague, "\n".join(vague)


def test_nothing_is_left_to_be_done() -> None:
    marks = ("TO" + "DO", "FIX" + "ME")
    left = [f"{path}: {mark}" for path, text, _ in modules() for mark in marks if mark in text]
    assert not left, "\n".join(left)
