"""Builds that have to fail, and what people are told."""

from cases.shape import Case


def failing(
    name: str, dockerfile: str, *said: str, context: dict[str, str] | None = None, options: tuple[str, ...] = ()
) -> Case:
    return Case(f"fails-{name}", dockerfile, dict(context or {}), options, error=said)


CASES = (
    failing(
        "unknown-instruction",
        "FROM busybox\nRUNN x\n",
        "unknown instruction: RUNN (did you mean RUN?)",
        "line 2",
        "RUNN x",
    ),
    failing("no-instructions", "# nothing\n", "file with no instructions"),
    failing("empty-file", "", "file with no instructions"),
    failing("no-from", "RUN x\n", "no build stage in current context"),
    failing(
        "unknown-flag", "FROM busybox\nCOPY --frm=x a b\n", "unknown flag: --frm", "line 2", ">>> COPY --frm=x a b"
    ),
    failing("exit-code", "FROM busybox\nRUN echo before; exit 7\n", "before", "7", "exit 7"),
    failing("command-missing", 'FROM busybox\nRUN ["/no/such", "thing"]\n', "/no/such"),
    failing("copy-missing", "FROM scratch\nCOPY nothing /x\n", "/nothing", "Dockerfile:2"),
    failing(
        "copy-from-missing", "FROM busybox AS a\nFROM scratch\nCOPY --from=a /nothing /x\n", "/nothing", "Dockerfile:3"
    ),
    failing("copy-from-unknown-number", "FROM busybox\nCOPY --from=7 a b\n", "7"),
    failing("copy-from-itself", "FROM busybox AS a\nCOPY --from=a /bin /x\n", "a"),
    failing(
        "copy-in-a-circle",
        "FROM busybox AS a\nCOPY --from=b /x /\nFROM busybox AS b\nCOPY --from=a /x /\n",
        "Dockerfile",
    ),
    failing("copy-several-to-a-file", "FROM scratch\nCOPY a b /x\n", "/", context={"a": "a", "b": "b"}),
    failing("copy-folder-on-a-file", "FROM scratch\nCOPY f /x\nCOPY d /x\n", "/x", context={"f": "f", "d/e": "e"}),
    failing("copy-chown-unknown", "FROM busybox\nCOPY --chown=nobodyhere a /x\n", "nobodyhere", context={"a": "a"}),
    failing("copy-chmod-wrong", "FROM busybox\nCOPY --chmod=9999 a /x\n", "9999", context={"a": "a"}),
    failing("user-unknown", "FROM busybox\nUSER nobodyhere\nRUN true\n", "nobodyhere"),
    failing("variable-required", "FROM busybox\nARG A\nLABEL a=${A:?give_it}\n", "A: give_it", "Dockerfile:3"),
    failing("bad-substitution", "FROM busybox\nLABEL a=${}\n", "bad substitution", "Dockerfile:2"),
    failing("unsupported-modifier", "FROM busybox\nLABEL a=${x^y}\n", "unsupported modifier (^)"),
    failing("unterminated-heredoc", "FROM busybox\nRUN <<EOF\nx\n", "unterminated heredoc", "line 2"),
    failing("from-empty", "ARG A\nFROM $A\n", "Dockerfile:2"),
    failing("from-invalid", "FROM a/UPPER\n", "a/UPPER", "Dockerfile:1"),
    failing("target-unknown", "FROM busybox AS a\n", "nowhere", options=("--target", "nowhere")),
    failing("expose-wrong", "FROM busybox\nEXPOSE 99999\n", "99999"),
    failing("stopsignal-wrong", "FROM busybox\nSTOPSIGNAL SIGNOTHING\n", "SIGNOTHING"),
    failing("mount-unknown-kind", "FROM busybox\nRUN --mount=type=nothing,target=/x true\n", "nothing", "line 2"),
    failing("mount-without-target", "FROM busybox\nRUN --mount=type=cache true\n", "target"),
    failing("mount-missing-source", "FROM busybox\nRUN --mount=source=nothing,target=/x true\n", "nothing"),
    failing("network-unknown", "FROM busybox\nRUN --network=nothing true\n", 'unsupported network mode "nothing"'),
    failing("insecure-not-allowed", "FROM busybox\nRUN --security=insecure true\n", "insecure"),
    failing("escape-wrong", "# escape=x\nFROM busybox\n", "invalid escape token"),
    failing("duplicate-directive", "# syntax=a\n# syntax=b\nFROM busybox\n", "only one syntax parser directive"),
    failing("onbuild-chained", "FROM busybox\nONBUILD ONBUILD RUN x\n", "ONBUILD ONBUILD"),
    failing("onbuild-trigger-fails", "FROM busybox AS a\nONBUILD RUN exit 3\nFROM a\n", "exit 3"),
    failing("nothing-is-named-after-a-failure", "FROM busybox\nRUN echo x > /x\nRUN exit 1\n", "exit 1"),
    failing("not-utf8", "FROM busybox\nRUN echo \udcff\n", "not UTF-8", "line 2"),
    failing("file-missing", "FROM busybox\n", "nowhere", options=("-f", "@FOLDER@/nowhere")),
)
