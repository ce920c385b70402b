""".dockerignore: every kind of rule, seen in what `COPY .` brings."""

from cases.shape import OURS, Case, Entry, File

TREE: dict[str, Entry] = {
    "a.md": "a",
    "README.md": "r",
    "README-secret.md": "s",
    "temp": "t",
    "tempa": "t",
    "src/a.go": "g",
    "src/temp": "t",
    "src/deep/b.go": "g",
    "src/deep/keep/c": "c",
    "#odd": "o",
}


def ignoring(name: str, rules: str, there: str, gone: str, extra: dict[str, Entry] | None = None) -> Case:
    """`there` and `gone` are paths below the context's root."""
    return Case(
        f"ignore-{name}",
        "FROM scratch\nCOPY . /x/\n",
        {**TREE, **(extra or {}), ".dockerignore": rules},
        files={f"/x/{path}": File() for path in there.split()},
        absent=tuple(f"/x/{path}" for path in gone.split()),
    )


CASES = (
    ignoring("names", "temp\nsrc/temp\n", "tempa a.md src/a.go", "temp src/temp"),
    ignoring("comments-and-blanks", "# temp\n\n   \n  tempa  \n", "temp #odd", "tempa"),
    ignoring("folder", "src\n", "temp", "src src/a.go src/deep/b.go"),
    ignoring("folder-with-slashes", "/src/deep/\n./temp\n", "src/a.go src/temp", "src/deep temp"),
    ignoring("star-stays-on-its-level", "*.md\n*/temp\n", "temp", "a.md README.md src/temp"),
    ignoring("question-mark", "temp?\n", "temp", "tempa"),
    ignoring("class", "[a-b].md\n", "README.md", "a.md"),
    ignoring("double-star", "**/*.go\n", "src/deep/keep/c", "src/a.go src/deep/b.go"),
    ignoring("double-star-below-a-folder", "src/**/c\n", "src/deep/b.go", "src/deep/keep/c"),
    ignoring("exception", "*.md\n!README.md\n", "README.md", "a.md README-secret.md"),
    ignoring("last-rule-wins", "*.md\n!README*.md\nREADME-secret.md\n", "README.md", "a.md README-secret.md"),
    ignoring(
        "exception-in-an-ignored-folder", "src\n!src/deep/keep\n", "src/deep/keep/c temp", "src/a.go src/deep/b.go"
    ),
    ignoring("everything-but", "*\n!src/*.go\n", "src/a.go", "a.md temp src/temp src/deep"),
    Case(  # the stock client sends nothing here: it does not look into folders for exceptions with `**`
        "ignore-everything-but-deep",
        "FROM scratch\nCOPY . /x/\n",
        {**TREE, ".dockerignore": "*\n!src/**/*.go\n"},
        files={"/x/src/a.go": File(), "/x/src/deep/b.go": File()},
        absent=("/x/a.md", "/x/src/temp", "/x/src/deep/keep"),
        doors=OURS,
    ),
    ignoring("escaped", "\\#odd\n", "temp", "#odd"),
    ignoring("dockerfile-itself", "Dockerfile\n.dockerignore\n", "temp", "Dockerfile .dockerignore"),
    ignoring("crlf", "temp\r\nsrc\r\n", "tempa", "temp src"),
    Case(
        "ignore-own-file-of-a-dockerfile",
        "FROM scratch\nCOPY . /x/\n",
        {"a": "a", "b": "b", ".dockerignore": "a", "Dockerfile.dockerignore": "b"},
        doors=OURS,
        files={"/x/a": "a"},
        absent=("/x/b",),
    ),
    Case(
        "ignore-copy-of-an-ignored-file",
        "FROM scratch\nCOPY temp /x\n",
        {**TREE, ".dockerignore": "temp"},
        error=("temp",),
    ),
    Case("ignore-bad-pattern", "FROM scratch\nCOPY . /x\n", {"a": "a", ".dockerignore": "[a"}, error=("pattern",)),
    ignoring("double-star-everything", "**\n!temp\n", "temp", "a.md src"),
    ignoring("double-star-in-the-middle", "src/**/keep\n", "src/deep/b.go", "src/deep/keep"),
    ignoring("double-star-name", "**/temp\n", "tempa", "temp src/temp"),
    ignoring("parent-folders-are-cleaned", "src/../temp\nsrc//deep///b.go\n", "src/deep/keep/c", "temp src/deep/b.go"),
    ignoring("exception-before-the-rule-is-undone", "!README.md\n*.md\n", "temp", "README.md a.md"),
    ignoring("exception-with-blanks", "*.md\n!  README.md  \n", "README.md", "a.md"),
    ignoring("hidden-files", ".*\n", "temp", ".hidden", {".hidden": "h"}),
    Case("ignore-lone-exception-mark", "FROM scratch\nCOPY . /x\n", {"a": "a", ".dockerignore": "!\n"}, error=("!",)),
    Case(
        "ignore-does-not-touch-stages",
        "FROM busybox AS a\nRUN echo 1 > /temp\nFROM scratch\nCOPY --from=a /temp /x\n",
        {**TREE, ".dockerignore": "temp"},
        files={"/x": "1\n"},
    ),
    Case(
        "ignore-wildcard-finds-nothing-ignored",
        "FROM scratch\nCOPY temp* /x/\n",
        {**TREE, ".dockerignore": "temp"},
        files={"/x/tempa": "t"},
        absent=("/x/temp",),
    ),
    Case(
        "ignore-mounts-too",
        "FROM busybox\nRUN --mount=target=/m ls /m/src > /got\n",
        {**TREE, ".dockerignore": "src/deep\nsrc/temp"},
        files={"/got": "a.go\n"},
    ),
)
