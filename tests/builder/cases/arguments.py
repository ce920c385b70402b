"""ARG and ENV: scopes, defaults, predefined and platform arguments, every modifier."""

from cases.shape import Case


def expanding(name: str, text: str, value: str, before: str = "") -> Case:
    """A modifier, seen in a label of an image without files."""
    return Case(
        f"expand-{name}",
        f"FROM scratch\nENV x=foobarfoo empty= path=/usr/local/lib.tar.gz\n{before}LABEL got={text}\n",
        config={"Labels": {"got": value}},
    )


CASES = (
    Case(
        "arg-default-and-given",
        "FROM busybox\nARG A=1\nARG B=2\nRUN echo $A $B > /got\n",
        options=("--build-arg", "A=x y"),
        files={"/got": "x y 2\n"},
        config={"Env": ["PATH=/bin"]},
        history=("ARG A=x y", "ARG B=2", "RUN |2 A=x y B=2 /bin/sh -c echo $A $B > /got # buildkit"),
    ),
    Case(
        "arg-without-default-is-unset", 'FROM busybox\nARG A\nRUN echo "${A-unset}" > /got\n', files={"/got": "unset\n"}
    ),
    Case(
        "arg-global-needs-declaring-again",
        'ARG A=1\nARG B=2\nFROM busybox\nARG A\nRUN echo "$A-$B" > /got\n',
        files={"/got": "1-\n"},
    ),
    Case(
        "arg-global-given",
        "ARG A=1\nFROM busybox\nARG A\nRUN echo $A > /got\n",
        options=("--build-arg", "A=9"),
        files={"/got": "9\n"},
    ),
    Case(
        "arg-stage-default-wins-over-global-default",
        "ARG A=1\nFROM busybox\nARG A=2\nRUN echo $A > /got\n",
        files={"/got": "2\n"},
    ),
    Case(
        "arg-before-from-in-from",
        "ARG BASE=nothing\nARG TAG=latest\nFROM ${BASE}:${TAG}\nRUN echo > /ok\n",
        options=("--build-arg", "BASE=busybox"),
        files={"/ok": "\n"},
    ),
    Case(
        "arg-global-from-arg",
        "ARG A=busy\nARG B=${A}box\nFROM $B\nARG B\nLABEL b=$B\n",
        config={"Labels": {"b": "busybox"}},
    ),
    Case(
        "arg-several-on-a-line",
        "FROM busybox\nARG A=1 B C='x y'\nRUN echo \"$A-$B-$C\" > /got\n",
        options=("--build-arg", "B=b"),
        files={"/got": "1-b-x y\n"},
    ),
    Case(
        "arg-is-visible-from-its-line-on",
        "FROM scratch\nLABEL one=${A:-none}\nARG A=1\nLABEL two=$A\n",
        config={"Labels": {"one": "none", "two": "1"}},
    ),
    Case(
        "arg-ends-with-its-stage",
        'FROM busybox AS one\nARG A=1\nFROM busybox\nRUN echo "got $A" > /got\n',
        files={"/got": "got \n"},
    ),
    Case(
        "arg-is-inherited-by-stages-on-it",
        'FROM busybox AS one\nARG A=1\nFROM one\nRUN echo "got $A" > /got\n',
        files={"/got": "got 1\n"},
    ),
    Case(
        "env-wins-over-arg",
        "FROM busybox\nARG A=arg\nENV A=env\nRUN echo $A > /got\n",
        options=("--build-arg", "A=given"),
        files={"/got": "env\n"},
        config={"Env": ["PATH=/bin", "A=env"]},
    ),
    Case(
        "arg-history-has-the-value-in-force",
        "FROM busybox\nARG A=arg\nARG B=1\nARG C\nENV A=env\nARG B=2\nARG A=late\nRUN echo $A $B > /got\n",
        files={"/got": "env 2\n"},
        history=(
            "ARG A=arg",
            "ARG B=1",
            "ARG C",
            "ENV A=env",
            "ARG B=2",
            "ARG A=late",
            "RUN |3 A=env B=2 C= /bin/sh -c echo $A $B > /got # buildkit",
        ),
    ),
    Case(
        "arg-given-wins-wherever-it-is-declared",
        "FROM busybox\nARG A=1\nRUN echo $A > /one\nARG A=2\nRUN echo $A > /two\n",
        options=("--build-arg", "A=given"),
        files={"/one": "given\n", "/two": "given\n"},
    ),
    Case(
        "arg-second-default-replaces-the-first",
        "FROM busybox\nARG A=1\nRUN echo $A > /one\nARG A=2\nRUN echo $A > /two\n",
        files={"/one": "1\n", "/two": "2\n"},
    ),
    Case(
        "arg-several-see-each-other-only-before-from",
        "ARG A=1 B=${A}2\nFROM scratch\nARG A B\nARG C=x D=${C}y\nLABEL b=$B d=$D\n",
        config={"Labels": {"b": "12", "d": "y"}},
    ),
    Case(
        "arg-is-in-no-config",
        "FROM busybox\nARG SECRET_OF_NOBODY=1\nENV B=2\n",
        config={"Env": ["PATH=/bin", "B=2"]},
    ),
    Case(
        "arg-from-a-base-image-does-not-come-along",
        'FROM @BEFORE@\nRUN echo "[$A]" > /got\n',
        before="FROM busybox\nARG A=1\nRUN true\n",
        files={"/got": "[]\n"},
    ),
    Case(
        "arg-default-is-ended-by-another-arg",
        "FROM scratch\nARG A=a\nARG B=${A}b\nARG C=${B}c A=x\nLABEL c=$C\n",
        options=("--build-arg", "A=1"),
        config={"Labels": {"c": "1bc"}},
    ),
    Case(
        "env-of-arg",
        "FROM scratch\nARG A\nENV B=${A:-v1}\n",
        options=("--build-arg", "A=v2"),
        config={"Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "B=v2"]},
    ),
    Case(
        "env-old-form",
        'FROM busybox\nENV A  one  two=3 "four"\nRUN echo "$A" > /got\n',
        files={"/got": "one  two=3 four\n"},
    ),
    Case(
        "env-several-quotes-and-escapes",
        'FROM busybox\nENV A="x y" B=\'p q\' C=r\\ s D="t\\"u" E= F=a"b"\'c\'\n',
        config={"Env": ["PATH=/bin", "A=x y", "B=p q", "C=r s", 'D=t"u', "E=", "F=abc"]},
    ),
    Case(
        "env-one-instruction-sees-the-values-before-it",
        "FROM busybox\nENV abc=hello\nENV abc=bye def=$abc\nENV ghi=$abc\n",
        config={"Env": ["PATH=/bin", "abc=bye", "def=hello", "ghi=bye"]},
    ),
    Case(
        "env-is-changed-in-place",
        "FROM busybox\nENV A=1 B=2\nENV A=3 PATH=$PATH:/x\n",
        config={"Env": ["PATH=/bin:/x", "A=3", "B=2"]},
    ),
    Case(
        "env-in-the-shell-and-for-instructions",
        "FROM busybox\nENV D=/data N=name\nWORKDIR $D/sub\nCOPY $N* ./\nLABEL $N=$D\n"
        "RUN pwd > $D/pwd && echo $N >> $D/pwd\n",
        context={"name1": "1", "name2": "2"},
        files={"/data/sub/name1": "1", "/data/sub/name2": "2", "/data/pwd": "/data/sub\nname\n"},
        config={"Labels": {"name": "/data"}, "WorkingDir": "/data/sub"},
    ),
    Case(
        "arg-proxy-is-predefined",
        "FROM busybox\nRUN echo $HTTP_PROXY $no_proxy > /got\n",
        options=("--build-arg", "HTTP_PROXY=http://p.example:1", "--build-arg", "no_proxy=localhost"),
        files={"/got": "http://p.example:1 localhost\n"},
        config={"Env": ["PATH=/bin"]},
        history=("RUN /bin/sh -c echo $HTTP_PROXY $no_proxy > /got # buildkit",),
    ),
    Case(
        "arg-proxy-declared-is-told",
        "FROM busybox\nARG HTTP_PROXY\nRUN echo $HTTP_PROXY > /got\n",
        options=("--build-arg", "HTTP_PROXY=http://p.example:1"),
        files={"/got": "http://p.example:1\n"},
        config={"Env": ["PATH=/bin"]},
        history=(
            "ARG HTTP_PROXY=http://p.example:1",
            "RUN |1 HTTP_PROXY=http://p.example:1 /bin/sh -c echo $HTTP_PROXY > /got # buildkit",
        ),
    ),
    Case(
        "arg-proxies-in-every-spelling",
        "FROM busybox\nRUN env | grep -i proxy | sort > /got\n",
        options=tuple(
            word
            for name in ("HTTP", "HTTPS", "FTP", "NO", "ALL")
            for spelling in (f"{name}_PROXY", f"{name}_proxy".lower())
            for word in ("--build-arg", f"{spelling}=x")
        ),
        files={
            "/got": "".join(f"{name}_PROXY=x\n" for name in ("ALL", "FTP", "HTTPS", "HTTP", "NO"))
            + "".join(f"{name}_proxy=x\n" for name in ("all", "ftp", "http", "https", "no"))
        },
        config={"Env": ["PATH=/bin"]},
    ),
    Case(
        "arg-platform-may-be-given",
        'FROM busybox\nARG TARGETARCH TARGETVARIANT\nRUN echo "$TARGETARCH-$TARGETVARIANT" > /got\n',
        options=("--build-arg", "TARGETARCH=mine", "--build-arg", "TARGETVARIANT=v9"),
        files={"/got": "mine-v9\n"},
    ),
    Case(
        "arg-platform-in-from-without-arg",
        "FROM scratch AS stage-linux\nLABEL os=linux\nFROM stage-$TARGETOS\n",
        config={"Labels": {"os": "linux"}},
    ),
    Case(
        "arg-sandbox-hostname",
        "FROM busybox\nRUN hostname > /got\n",
        options=("--build-arg", "BUILDKIT_SANDBOX_HOSTNAME=there"),
        files={"/got": "there\n"},
        config={"Env": ["PATH=/bin"]},
    ),
    Case(
        "arg-platform",
        "FROM --platform=$BUILDPLATFORM busybox\nARG TARGETPLATFORM TARGETOS TARGETARCH BUILDPLATFORM BUILDARCH\n"
        'RUN test "$TARGETPLATFORM" = "$TARGETOS/$TARGETARCH" && test -n "$BUILDARCH" && echo $TARGETOS > /got\n',
        files={"/got": "linux\n"},
    ),
    Case(
        "arg-platform-needs-declaring",
        'FROM busybox\nRUN echo "[$TARGETPLATFORM]" > /got\n',
        files={"/got": "[]\n"},
    ),
    Case(
        "arg-targetstage",
        'FROM busybox AS one\nARG TARGETSTAGE\nRUN echo "[$TARGETSTAGE]" > /got\nFROM busybox AS two\n',
        options=("--target", "one"),
        files={"/got": "[one]\n"},
    ),
    Case(
        "arg-given-from-the-clients-environment",
        "FROM busybox\nARG PATH_OF_NOTHING=default\nRUN echo $PATH_OF_NOTHING > /got\n",
        options=("--build-arg", "PATH_OF_NOTHING"),
        files={"/got": "default\n"},
    ),
    Case(
        "arg-empty-given",
        'FROM busybox\nARG A=1\nRUN echo "[$A]" > /got\n',
        options=("--build-arg", "A="),
        files={"/got": "[]\n"},
    ),
    expanding("braces", "${x}y", "foobarfooy"),
    expanding("unset", "a${nothing}b", "ab"),
    expanding("default-of-unset", "${nothing:-word}", "word"),
    expanding("default-of-empty", "${empty:-word}", "word"),
    expanding("default-without-colon", "[${empty-word}][${nothing-word}]", "[][word]"),
    expanding("default-nested", "${nothing:-${empty:-$x}}", "foobarfoo"),
    expanding("alternative", "[${x:+word}][${empty:+word}][${empty+word}]", "[word][][word]"),
    expanding("required-and-there", "${x:?must_be_set}", "foobarfoo"),
    expanding("shortest-prefix", "${x#*o}", "obarfoo"),
    expanding("longest-prefix", "${path##*/}", "lib.tar.gz"),
    expanding("shortest-suffix", "${path%.*}", "/usr/local/lib.tar"),
    expanding("longest-suffix", "${path%%.*}", "/usr/local/lib"),
    expanding("replace-once", "${x/foo/X}", "Xbarfoo"),
    expanding("replace-all", "${x//foo/X}", "XbarX"),
    expanding("replace-slash", "${path//\\//:}", ":usr:local:lib.tar.gz"),
    expanding("prefix-from-the-reference", "${x#f*b}", "arfoo"),
    expanding("longest-prefix-from-the-reference", "${x##f*o}", ""),
    expanding("suffix-from-the-reference", "${x%b*}", "foo"),
    expanding("longest-suffix-question-mark", "${x%%o??*}", "f"),
    expanding("pattern-literal-star", "${s#a\\*}", "b*c", before="ENV s=a*b*c\n"),
    expanding("pattern-of-a-variable", "${x#$p}", "barfoo", before="ENV p=foo\n"),
    expanding("replacement-of-a-variable", "${x/foo/$p}", "newbarfoo", before="ENV p=new\n"),
    expanding("alternative-without-colon", "[${x+word}][${nothing+word}]", "[word][]"),
    expanding("required-and-only-empty", "[${empty?must_be_set}]", "[]"),
    expanding("escaped-braces", "\\${x}", "${x}"),
    expanding("name-ends-at-other-characters", "$x.$x-$x/y", "foobarfoo.foobarfoo-foobarfoo/y"),
    expanding("single-quotes", "'$x'", "$x"),
    expanding("escaped", "\\$x", "$x"),
    expanding("escaped-in-double-quotes", '"\\$x \\"q\\" $x"', '$x "q" foobarfoo'),
    Case(
        "escape-backtick",
        "# escape=`\nFROM busybox\nENV W=C:\\dir\nLABEL w=$W `\n  d=`$W\nRUN echo one `\n && echo two > /got\n",
        files={"/got": "two\n"},
        config={"Labels": {"w": "C:\\dir", "d": "$W"}},
    ),
)
