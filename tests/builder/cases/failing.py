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
    failing("network-host-not-allowed", "FROM busybox\nRUN --network=host true\n", "network.host is not allowed"),
    failing("escape-wrong", "# escape=x\nFROM busybox\n", "invalid escape token"),
    failing("duplicate-directive", "# syntax=a\n# syntax=b\nFROM busybox\n", "only one syntax parser directive"),
    failing("onbuild-chained", "FROM busybox\nONBUILD ONBUILD RUN x\n", "ONBUILD ONBUILD"),
    failing("onbuild-trigger-fails", "FROM busybox AS a\nONBUILD RUN exit 3\nFROM a\n", "exit 3"),
    failing("nothing-is-named-after-a-failure", "FROM busybox\nRUN echo x > /x\nRUN exit 1\n", "exit 1"),
    failing("not-utf8", "FROM busybox\nRUN echo \udcff\n", "not UTF-8", "line 2"),
    failing("copy-file-on-a-folder", "FROM scratch\nCOPY d /x/f\nCOPY f /x\n", "/x/f", context={"f": "f", "d/e": "e"}),
    failing("copy-parents-missing", "FROM scratch\nCOPY --parents no/such /x/\n", "no/such", "Dockerfile:2"),
    failing("copy-address", "FROM scratch\nCOPY https://example.org/f /x\n", "source can't be a URL for COPY"),
    failing("copy-without-destination", "FROM scratch\nCOPY f\n", "COPY requires at least two arguments", "line 2"),
    failing(
        "copy-from-with-a-variable", "FROM busybox AS a\nCOPY --from=$X /f /\n", "variable expansion is not supported"
    ),
    failing("copy-switch-wrong", "FROM scratch\nCOPY --link=maybe f /x\n", "expecting boolean value for flag --link"),
    failing("copy-flag-twice", "FROM scratch\nCOPY --chown=1 --chown=2 f /x\n", "duplicate flag specified: --chown"),
    failing("add-from", "FROM scratch\nADD --from=x f /x\n", "unknown flag: --from"),
    failing("add-parents", "FROM scratch\nADD --parents f /x\n", "unknown flag: --parents"),
    failing(
        "add-checksum-of-a-file", "FROM scratch\nADD --checksum=sha256:1 f /x\n", "checksum requires HTTP(S) or Git"
    ),
    failing("run-device", "FROM busybox\nRUN --device=vendor.com/device=a true\n", "unsupported: RUN --device"),
    failing("run-security-wrong", "FROM busybox\nRUN --security=none true\n", 'security "none" is not valid'),
    failing("run-killed-by-a-signal", "FROM busybox\nRUN sh -c 'kill -9 $$'; exit $?\n", "137"),
    failing("run-array-of-numbers", "FROM busybox\nRUN [1, 2]\n", "arrays must be comprised of strings only"),
    failing(
        "shell-form-of-shell", "FROM busybox\nSHELL /bin/sh -c\n", "SHELL requires the arguments to be in JSON form"
    ),
    failing("healthcheck-none-with-more", "FROM scratch\nHEALTHCHECK NONE x\n", "HEALTHCHECK NONE takes no arguments"),
    failing("healthcheck-too-often", "FROM scratch\nHEALTHCHECK --interval=1us CMD x\n", "cannot be less than 1ms"),
    failing("healthcheck-without-command", "FROM scratch\nHEALTHCHECK CMD\n", "Missing command after HEALTHCHECK CMD"),
    failing("healthcheck-unknown", "FROM scratch\nHEALTHCHECK RUN x\n", 'Unknown type "RUN" in HEALTHCHECK'),
    failing("onbuild-from", "FROM scratch\nONBUILD FROM x\n", "FROM isn't allowed as an ONBUILD trigger"),
    failing(
        "onbuild-maintainer", "FROM scratch\nONBUILD MAINTAINER x\n", "MAINTAINER isn't allowed as an ONBUILD trigger"
    ),
    failing("volume-empty", 'FROM scratch\nVOLUME [""]\n', "VOLUME specified can not be an empty string"),
    failing("env-without-value", "FROM scratch\nENV A\n", "ENV must have two arguments"),
    failing("env-later-word-without-value", "FROM scratch\nENV A=1 B\n", "Syntax error - can't find = in"),
    failing("from-two-words", "FROM a b\n", "FROM requires either one or three arguments"),
    failing("from-name-with-a-number-first", "FROM busybox AS 1st\n", 'invalid name for build stage: "1st"'),
    failing("from-platform-unknown", "FROM --platform=a/b/c/d busybox\n", "cannot parse platform", "Dockerfile:1"),
    failing("expose-unknown-protocol", "FROM scratch\nEXPOSE 80/xyz\n", "80/xyz"),
    failing("workdir-on-a-file", "FROM busybox\nRUN touch /f\nWORKDIR /f/sub\n", "/f"),
    failing("syntax-of-others", "# syntax=example.org/frontend:1\nFROM busybox\n", "unsupported: Dockerfile syntax"),
    failing(
        "mount-secret-required-missing",
        "FROM busybox\nRUN --mount=type=secret,id=a,required=true x\n",
        "secret a: not found",
    ),
    failing(
        "mount-tmpfs-with-an-id", "FROM busybox\nRUN --mount=type=tmpfs,target=/x,id=a true\n", "unexpected key 'id'"
    ),
    failing("mount-target-root", "FROM busybox\nRUN --mount=type=tmpfs,target=/ true\n", "invalid mount target"),
    failing("variable-in-nested-word", "FROM scratch\nLABEL a=${X:-${Y?needed}}\n", "Y: needed", "Dockerfile:2"),
    failing("command-not-executable", 'FROM busybox\nRUN ["/etc/passwd"]\n', "/etc/passwd"),
    failing("file-missing", "FROM busybox\n", "nowhere", options=("-f", "@FOLDER@/nowhere")),
)
