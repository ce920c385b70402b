"""Here-documents of RUN, COPY and ADD."""

from cases.shape import Case, File

CASES = (
    Case(
        "heredoc-run-script",
        'FROM busybox\nRUN <<EOF\nset -e\nA=1\necho $A > /got\necho "two" >> /got\nEOF\n',
        files={"/got": "1\ntwo\n"},
    ),
    Case(
        "heredoc-run-script-stops-only-at-the-last-failure",
        "FROM busybox\nRUN <<EOF\nfalse\necho on > /got\nEOF\n",
        files={"/got": "on\n"},
    ),
    Case(
        "heredoc-run-shebang",
        'FROM busybox\nRUN <<EOF\n#!/bin/awk -f\nBEGIN { print 6*7 > "/got" }\nEOF\n',
        files={"/got": "42\n"},
    ),
    Case(
        "heredoc-run-for-a-command",
        "FROM busybox\nRUN cat <<EOF > /got\none $HOME\ntwo\nEOF\n",
        files={"/got": "one /root\ntwo\n"},
    ),
    Case("heredoc-run-quoted", "FROM busybox\nRUN cat <<'EOF' > /got\none $HOME\nEOF\n", files={"/got": "one $HOME\n"}),
    Case(
        "heredoc-run-tabs",
        "FROM busybox\nRUN <<-EOF\n\techo a > /got\n\t\techo b >> /got\n\tEOF\n",
        files={"/got": "a\nb\n"},
    ),
    Case(
        "heredoc-run-several",
        "FROM busybox\nRUN cat <<A > /one && cat <<B > /two\nfirst\nA\nsecond\nB\n",
        files={"/one": "first\n", "/two": "second\n"},
    ),
    Case("heredoc-run-descriptor", "FROM busybox\nRUN cat 3<<A <&3 > /got\nthree\nA\n", files={"/got": "three\n"}),
    Case(
        "heredoc-run-empty-lines-and-comments",
        "FROM busybox\nRUN <<A cat > /got\n\n# kept\nA\n",
        files={"/got": "\n# kept\n"},
    ),
    Case(
        "heredoc-run-with-mount",
        "FROM busybox\nRUN --mount=type=tmpfs,target=/m <<A\necho x > /m/x\ncp /m/x /got\nA\n",
        files={"/got": "x\n"},
    ),
    Case(
        "heredoc-in-onbuild",
        "FROM @BEFORE@\n",
        before="FROM busybox\nONBUILD RUN <<A\nONBUILD_IS=1\necho ok$ONBUILD_IS > /got\nA\n",
        files={"/got": "ok1\n"},
    ),
    Case(
        "heredoc-copy",
        "FROM scratch\nENV who=me\nCOPY <<EOF /got\nhi $who ${who:+yes}\n\"quoted\" 'it' \\$who\nEOF\n",
        files={"/got": File("hi me yes\n\"quoted\" 'it' $who\n", 0o644, "0:0")},
    ),
    Case(
        "heredoc-copy-quoted",
        'FROM scratch\nENV who=me\nCOPY <<"EOF" /got\nhi $who \\$\nEOF\n',
        files={"/got": "hi $who \\$\n"},
    ),
    Case(
        "heredoc-copy-several-into-a-folder",
        "FROM scratch\nCOPY <<one.txt <<-two.txt three.txt /d/\n1\none.txt\n\t2\n\ttwo.txt\n",
        context={"three.txt": "3\n"},
        files={"/d/one.txt": "1\n", "/d/two.txt": "2\n", "/d/three.txt": "3\n"},
    ),
    Case(
        "heredoc-copy-with-owner-and-mode",
        "FROM busybox\nCOPY --chown=web:staff --chmod=4755 <<EOF /bin/tool\n#!/bin/sh\necho tool\nEOF\n"
        "RUN tool > /got\n",
        files={"/bin/tool": File("#!/bin/sh\necho tool\n", 0o4755, "1000:50"), "/got": "tool\n"},
    ),
    Case("heredoc-add", "FROM scratch\nADD <<EOF /d/\nx\nEOF\n", files={"/d/EOF": "x\n"}),
    Case("heredoc-empty-file", "FROM scratch\nCOPY <<EOF /empty\nEOF\n", files={"/empty": File("", 0o644)}),
    Case(
        "heredoc-not-in-quotes",
        "FROM busybox\nRUN echo \"<<EOF\" > /got\nRUN echo '<<A' >> /got\n",
        files={"/got": "<<EOF\n<<A\n"},
    ),
    Case(
        "heredoc-run-for-another-program",
        "FROM busybox\nRUN <<EOT sh -e > /got\n  echo one\n  echo two\nEOT\n",
        files={"/got": "one\ntwo\n"},
    ),
    Case(
        "heredoc-run-files-of-the-reference",
        "FROM busybox\nRUN <<FILE1 cat > file1 && <<FILE2 cat > file2\nI am\nfirst\nFILE1\nI am\nsecond\nFILE2\n",
        files={"/file1": "I am\nfirst\n", "/file2": "I am\nsecond\n"},
    ),
    Case(
        "heredoc-run-script-has-arguments-of-the-build",
        "FROM busybox\nARG A=arg\nENV E=env\nRUN <<'X'\necho $A $E > /got\nX\n",
        files={"/got": "arg env\n"},
    ),
    Case(
        "heredoc-copy-script-of-the-reference",
        'FROM busybox\nARG FOO=bar\nCOPY <<-EOT /script.sh\n\t  echo "hello ${FOO}"\nEOT\n'
        'COPY <<-"EOT" /late.sh\n\t  echo "hello ${FOO}"\nEOT\n'
        "RUN ash /script.sh > /got; FOO=world ash /late.sh >> /got\n",
        files={
            "/script.sh": '  echo "hello bar"\n',
            "/late.sh": '  echo "hello ${FOO}"\n',
            "/got": "hello bar\nhello world\n",
        },
    ),
    Case(
        "heredoc-copy-relative-destination-and-history",
        "FROM scratch\nWORKDIR /w\nCOPY <<EOF greeting.txt\nhello world\nEOF\n",
        files={"/w/greeting.txt": File("hello world\n", 0o644, "0:0")},
        history=("WORKDIR /w", "COPY <<EOF greeting.txt # buildkit"),
    ),
    Case(
        "heredoc-copy-with-link",
        "FROM busybox\nCOPY --link --chmod=u=rw,go= <<EOF /etc/new/file\nx\nEOF\n",
        files={"/etc/new/file": File("x\n", 0o600), "/etc/passwd": File()},
    ),
    Case(
        "heredoc-run-shell-instruction",
        'FROM busybox\nSHELL ["/bin/sh", "-ec"]\nRUN <<EOF\necho $- > /got\nEOF\n',
        files={"/got": "ce\n"},
    ),
    Case(
        "heredoc-run-crlf",
        "FROM busybox\r\nCOPY <<EOF /got\r\none\r\nEOF\r\n",
        files={"/got": "one\r\n"},
    ),
)
