"""Here-documents: which ones a line announces, and what becomes of their text. Pure.

RUN hands them to the shell as they are, unless the line is nothing but one here-document: then that is the script.
COPY and ADD make files of them, with variables put in unless a part of the name was quoted.
"""

import re

from boxship.builder.dockerfile import flags
from boxship.builder.dockerfile.jsonform import json_words
from boxship.builder.dockerfile.syntax import Heredoc, Run
from boxship.builder.dockerfile.words import Reading, read
from boxship.errors import Invalid

ALLOWED = ("RUN", "COPY", "ADD")
_MARK = re.compile(r"(\d*)<<(-?)([^<]+)", re.DOTALL)
_KEPT = Reading(keep_quotes=True, keep_escapes=True, keep_unset=True)
_TAKEN_OFF = Reading(keep_unset=True)
_TABS = re.compile(r"^\t+", re.MULTILINE)


def announced(text: str) -> list[Heredoc]:
    """The here-documents that an instruction's line announces, in order, without content yet."""
    if "<<" not in text:
        return []
    name, rest = flags.command_of(text)
    if name == "ONBUILD":
        name, rest = flags.command_of(flags.taken(rest)[1])
    if name not in ALLOWED or json_words(flags.taken(rest)[1]) is not None:
        return []
    try:
        words = read(text, {}, _KEPT).words
    except Invalid:
        return []  # quotes that do not match: the shell will say so
    return [document for word in words if (document := mark(word)) is not None]


def mark(word: str) -> Heredoc | None:
    """The here-document that a word stands for, or None."""
    match = _MARK.fullmatch(word)
    if match is None:
        return None
    try:
        bare, kept = read(match[3], {}, _TAKEN_OFF).words, read(match[3], {}, _KEPT).words
    except Invalid:
        return None
    if len(bare) != 1:
        return None
    return Heredoc(bare[0], "", bare == kept, match[2] == "-", int(match[1][:9] or 0))


def content_of(document: Heredoc) -> str:
    """The text, without leading tabs where `<<-` asked for that."""
    return _TABS.sub("", document.content) if document.chomp else document.content


def is_script(run: Run) -> bool:
    """Whether the line is one here-document and nothing else."""
    return bool(run.heredocs) and mark(run.line.strip()) is not None


def shell_text(run: Run) -> str:
    """What the shell gets to read for a RUN in the shell form: the line, a lone here-document's own text, or the line
    with the here-documents behind it."""
    if is_script(run):
        return content_of(run.heredocs[0])
    return run.line + "".join(f"\n{document.content}{document.name}" for document in run.heredocs)


def script_file(run: Run) -> Heredoc | None:
    """A lone here-document that begins with `#!`: it is made a file and executed itself, without a shell."""
    document = run.heredocs[0] if is_script(run) else None
    return document if document is not None and document.content.startswith("#!") else None
