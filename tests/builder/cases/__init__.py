"""Dockerfiles of our own writing, as data: what goes in and what has to come out. `test_builder_cases` builds them
through both doors. A new case is one entry in the list of its theme; a new theme is a module and a line here."""

from cases import adding, arguments, copying, failing, heredocs, ignoring, mounting, options, running, setting, stages
from cases.shape import Case

CASES: tuple[Case, ...] = (
    *arguments.CASES,
    *running.CASES,
    *copying.CASES,
    *adding.CASES,
    *setting.CASES,
    *stages.CASES,
    *heredocs.CASES,
    *mounting.CASES,
    *ignoring.CASES,
    *options.CASES,
    *failing.CASES,
)
