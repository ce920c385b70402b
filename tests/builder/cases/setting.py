"""Instructions that only set the config."""

from cases.shape import Case, Folder, Link

SECOND = 10**9

CASES = (
    Case("cmd-exec", 'FROM scratch\nCMD ["a", "b $x"]\n', config={"Cmd": ["a", "b $x"]}, history=('CMD ["a" "b $x"]',)),
    Case(
        "cmd-shell",
        "FROM scratch\nCMD a b\n",
        config={"Cmd": ["/bin/sh", "-c", "a b"]},
        history=('CMD ["/bin/sh" "-c" "a b"]',),
    ),
    Case("cmd-last-wins", 'FROM scratch\nCMD ["a"]\nCMD ["b"]\n', config={"Cmd": ["b"]}),
    Case("cmd-empty-takes-the-inherited-away", "FROM busybox\nCMD []\n", config={"Cmd": None}),
    Case("cmd-is-inherited", "FROM busybox\nLABEL a=b\n", config={"Cmd": ["sh"], "Env": ["PATH=/bin"]}),
    Case(
        "entrypoint-takes-an-inherited-cmd-away",
        'FROM busybox\nENTRYPOINT ["e"]\n',
        config={"Entrypoint": ["e"], "Cmd": None},
    ),
    Case(
        "entrypoint-keeps-an-own-cmd",
        'FROM busybox\nCMD ["c"]\nENTRYPOINT ["e"]\n',
        config={"Entrypoint": ["e"], "Cmd": ["c"]},
    ),
    Case(
        "entrypoint-shell",
        "FROM scratch\nENTRYPOINT exec top -b\n",
        config={"Entrypoint": ["/bin/sh", "-c", "exec top -b"]},
        history=('ENTRYPOINT ["/bin/sh" "-c" "exec top -b"]',),
    ),
    Case(
        "entrypoint-empty",
        'FROM scratch\nENTRYPOINT ["e"]\nENTRYPOINT []\nCMD ["c"]\n',
        config={"Entrypoint": None, "Cmd": ["c"]},
    ),
    Case(
        "label-forms",
        'FROM scratch\nLABEL a=1 "b c"="2 3" d=\'4\'\nLABEL e five six\nLABEL f="two \\\nlines"\n',
        config={"Labels": {"a": "1", "b c": "2 3", "d": "4", "e": "five six", "f": "two lines"}},
    ),
    Case(
        "label-replaced-and-inherited",
        "FROM scratch AS a\nLABEL x=1 y=1\nFROM a\nLABEL y=2 z=3\n",
        config={"Labels": {"x": "1", "y": "2", "z": "3"}},
    ),
    Case(
        "expose",
        "FROM scratch\nENV p=99\nEXPOSE 80 81/udp 82/TCP 90-92 $p\n",
        config={"ExposedPorts": {f"{port}/tcp": {} for port in (80, 82, 90, 91, 92, 99)} | {"81/udp": {}}},
    ),
    Case(
        "expose-mappings-expose-the-containers-port",
        "FROM scratch\nEXPOSE 127.0.0.1:8080:80 443:8443/TCP 5000-5001:6000-6001/udp [::1]:1:53/sctp 127.0.0.1::7\n",
        config={
            "ExposedPorts": {name: {} for name in ("80/tcp", "8443/tcp", "6000/udp", "6001/udp", "53/sctp", "7/tcp")}
        },
        history=("EXPOSE map[53/sctp:{} 6000/udp:{} 6001/udp:{} 7/tcp:{} 80/tcp:{} 8443/tcp:{}]",),
    ),
    Case(
        "volume-forms",
        'FROM scratch\nENV v=/data\nVOLUME $v /logs\nVOLUME ["/with space"]\n',
        config={"Volumes": {"/data": {}, "/logs": {}, "/with space": {}}},
    ),
    Case(
        "volume-changes-afterwards-are-kept",
        "FROM busybox\nVOLUME /data\nRUN mkdir -p /data && echo x > /data/f\n",
        files={"/data/f": "x\n"},
    ),
    Case(
        "user-name-and-group",
        "FROM scratch\nENV u=web\nUSER $u:staff\n",
        config={"User": "web:staff"},
        history=("ENV u=web", "USER web:staff"),
    ),
    Case(
        "workdir-makes-folders",
        "FROM scratch\nWORKDIR /a/b\nWORKDIR c\nWORKDIR ../d\n",
        config={"WorkingDir": "/a/b/d"},
        files={"/a/b/c": Folder(0o755, "0:0"), "/a/b/d": Folder(0o755)},
        history=("WORKDIR /a/b", "WORKDIR /a/b/c", "WORKDIR /a/b/d"),
    ),
    Case(
        "workdir-variable",
        "FROM scratch\nENV d=/x\nWORKDIR $d/$nothing/y\n",
        config={"WorkingDir": "/x/y"},
        files={"/x/y": Folder()},
    ),
    Case(
        "workdir-belongs-to-the-user",
        "FROM busybox\nUSER web\nWORKDIR /mine\n",
        files={"/mine": Folder(0o755, "1000:1000")},
    ),
    Case(
        "workdir-existing-stays-as-it-is",
        "FROM busybox\nRUN mkdir -m 700 /d && chown 1:2 /d\nWORKDIR /d\n",
        files={"/d": Folder(0o700, "1:2")},
        layers=2,
    ),
    Case(
        "workdir-relative-to-nothing", "FROM scratch\nWORKDIR a\n", config={"WorkingDir": "/a"}, files={"/a": Folder()}
    ),
    Case("stopsignal", "FROM scratch\nENV s=SIGUSR1\nSTOPSIGNAL $s\n", config={"StopSignal": "SIGUSR1"}),
    Case("stopsignal-number", "FROM scratch\nSTOPSIGNAL 9\n", config={"StopSignal": "9"}),
    Case(
        "healthcheck",
        "FROM scratch\n"
        "HEALTHCHECK --interval=1m30s --timeout=2s --start-period=3s --start-interval=500ms --retries=4 CMD a b\n",
        config={
            "Healthcheck": {
                "Test": ["CMD-SHELL", "a b"],
                "Interval": 90 * SECOND,
                "Timeout": 2 * SECOND,
                "StartPeriod": 3 * SECOND,
                "StartInterval": SECOND // 2,
                "Retries": 4,
            }
        },
    ),
    Case(
        "healthcheck-exec",
        'FROM scratch\nHEALTHCHECK CMD ["a", "b"]\n',
        config={"Healthcheck": {"Test": ["CMD", "a", "b"]}},
    ),
    Case(
        "healthcheck-none",
        "FROM scratch AS a\nHEALTHCHECK CMD x\nFROM a\nHEALTHCHECK NONE\n",
        config={"Healthcheck": {"Test": ["NONE"]}},
    ),
    Case(
        "maintainer",
        "FROM scratch\nMAINTAINER me <me@example.org>\n",
        image={"Author": "me <me@example.org>"},
        history=("MAINTAINER me <me@example.org>",),
    ),
    Case(
        "shell-for-cmd",
        'FROM scratch\nSHELL ["/bin/bash", "-c"]\nENTRYPOINT x\n',
        config={"Shell": ["/bin/bash", "-c"], "Entrypoint": ["/bin/bash", "-c", "x"]},
    ),
    Case(
        "onbuild-is-kept",
        "FROM scratch\nONBUILD RUN a\nONBUILD COPY . /x\n",
        config={"OnBuild": ["RUN a", "COPY . /x"]},
    ),
    Case(
        "onbuild-runs-in-the-child",
        "FROM @BEFORE@\nRUN echo after >> /got\n",
        {"f": "f\n"},
        before='FROM busybox\nONBUILD COPY f /f\nONBUILD RUN cat /f > /got\nONBUILD CMD ["triggered"]\n',
        files={"/got": "f\nafter\n"},
        config={"OnBuild": None, "Cmd": ["triggered"]},
    ),
    Case(
        "onbuild-with-variables",
        "FROM @BEFORE@\n",
        before="FROM busybox\nENV A=base\nONBUILD ARG B=trigger\nONBUILD RUN echo $A $B > /got\n",
        options=("--build-arg", "B=given"),
        files={"/got": "base given\n"},
    ),
    Case(
        "onbuild-of-a-stage-in-the-same-file",
        "FROM busybox AS base\nONBUILD RUN echo x > /got\nFROM base\n",
        files={"/got": "x\n"},
    ),
    Case(
        "onbuild-user-and-env",
        "FROM @BEFORE@\n",
        before="FROM busybox\nONBUILD ENV A=1\nONBUILD USER web\nONBUILD WORKDIR /w\nONBUILD EXPOSE 5\n",
        config={"Env": ["PATH=/bin", "A=1"], "User": "web", "WorkingDir": "/w", "ExposedPorts": {"5/tcp": {}}},
    ),
    Case(
        "everything-together",
        "FROM busybox\nLABEL a=b\nENV C=d\nWORKDIR /w\nCOPY f .\nRUN cat f > g\nEXPOSE 1\nVOLUME /v\nUSER web\n"
        'STOPSIGNAL SIGINT\nENTRYPOINT ["e"]\nCMD ["c"]\n',
        {"f": "f"},
        files={"/w/f": "f", "/w/g": "f"},
        layers=4,
        config={"Labels": {"a": "b"}, "User": "web", "WorkingDir": "/w", "Volumes": {"/v": {}}, "StopSignal": "SIGINT"},
        history=(
            "LABEL a=b",
            "ENV C=d",
            "WORKDIR /w",
            "COPY f . # buildkit",
            "RUN /bin/sh -c cat f > g # buildkit",
            "EXPOSE map[1/tcp:{}]",
            "VOLUME [/v]",
            "USER web",
            "STOPSIGNAL SIGINT",
            'ENTRYPOINT ["e"]',
            'CMD ["c"]',
        ),
    ),
    Case(
        "comments-and-blank-lines",
        "# first\n\nFROM scratch\n  # indented\n\n\tLABEL a=b # not a comment=x\n",
        error=("LABEL",),
    ),
    Case(
        "directive-spellings",
        "#\t  eScApE = `\n# check=skip=all\nFROM scratch\nLABEL a=1 `\n  b=2\n",
        config={"Labels": {"a": "1", "b": "2"}},
    ),
    Case(
        "directive-after-a-comment-is-a-comment",
        "# about\n# escape=`\nFROM scratch\nLABEL a=x` b=\\\ny\n",
        config={"Labels": {"a": "x`", "b": "y"}},
    ),
    Case(
        "directive-after-an-unknown-one-is-a-comment",
        "# unknown=value\n# escape=`\nFROM scratch\nLABEL a=\\\n1\n",
        config={"Labels": {"a": "1"}},
    ),
    Case(
        "directive-after-an-instruction-is-a-comment",
        "FROM scratch\n# escape=`\nLABEL a=\\\n1\n",
        config={"Labels": {"a": "1"}},
    ),
    Case(
        "directive-syntax-of-dockerfiles",
        "# syntax=docker/dockerfile:1.7-labs\nFROM scratch\nLABEL a=b\n",
        config={"Labels": {"a": "b"}},
    ),
    Case(
        "cmd-exec-of-base-and-entrypoint-of-a-stage",
        'FROM scratch AS a\nENTRYPOINT ["e"]\nCMD ["c"]\nFROM a\nENTRYPOINT ["f"]\n',
        config={"Entrypoint": ["f"], "Cmd": None},
    ),
    Case(
        "cmd-exec-escapes",
        'FROM scratch\nCMD ["c:\\\\dir", "a\\"b", "\\u00e9"]\n',
        config={"Cmd": ["c:\\dir", 'a"b', "é"]},
    ),
    Case(
        "cmd-single-quotes-are-the-shell-form",
        "FROM scratch\nCMD ['a', 'b']\n",
        config={"Cmd": ["/bin/sh", "-c", "['a', 'b']"]},
    ),
    Case(
        "label-inherited-from-an-image",
        "FROM @BEFORE@\nLABEL b=mine\n",
        before="FROM busybox\nLABEL a=base b=base\n",
        config={"Labels": {"a": "base", "b": "mine"}},
    ),
    Case(
        "label-of-a-stage-that-is-only-copied-from",
        "FROM busybox AS a\nLABEL a=1\nFROM scratch\nCOPY --from=a /www/index.html /\n",
        config={"Labels": None},
    ),
    Case(
        "label-single-quotes-keep-variables",
        "FROM scratch\nENV V=x\nLABEL a='$V' b=\"$V\" c=foo-$V\n",
        config={"Labels": {"a": "$V", "b": "x", "c": "foo-x"}},
    ),
    Case(
        "env-old-form-of-the-reference",
        "FROM busybox\nENV ONE TWO= THREE=world\n",
        config={"Env": ["PATH=/bin", "ONE=TWO= THREE=world"]},
    ),
    Case(
        "env-forms-of-the-reference",
        'FROM busybox\nENV MY_NAME="John Doe" MY_DOG=Rex\\ The\\ Dog \\\n    MY_CAT=fluffy\n',
        config={"Env": ["PATH=/bin", "MY_NAME=John Doe", "MY_DOG=Rex The Dog", "MY_CAT=fluffy"]},
        history=("ENV MY_NAME=John Doe MY_DOG=Rex The Dog MY_CAT=fluffy",),
    ),
    Case(
        "user-before-the-arg-of-the-reference",
        "FROM busybox\nUSER ${username:-some_user}\nARG username\nUSER $username\n",
        options=("--build-arg", "username=what_user"),
        config={"User": "what_user"},
        history=("USER some_user", "ARG username=what_user", "USER what_user"),
    ),
    Case("user-is-inherited", "FROM scratch AS a\nUSER 5:6\nFROM a\n", config={"User": "5:6"}),
    Case(
        "workdir-parents-belong-to-the-user",
        "FROM busybox\nUSER web:staff\nWORKDIR /one/two\nWORKDIR three\n",
        files={
            "/one": Folder(0o755, "1000:50"),
            "/one/two": Folder(0o755, "1000:50"),
            "/one/two/three": Folder(0o755, "1000:50"),
        },
    ),
    Case(
        "workdir-of-a-number",
        "FROM scratch\nUSER 7\nWORKDIR /seven\nUSER 7:8\nWORKDIR /eight\n",
        files={"/seven": Folder(0o755, "7:7"), "/eight": Folder(0o755, "7:8")},
    ),
    Case(
        "workdir-of-the-base-is-gone-on-from",
        "FROM @BEFORE@\nWORKDIR b\nWORKDIR c\nRUN pwd > got\n",
        before="FROM busybox\nWORKDIR /a\n",
        config={"WorkingDir": "/a/b/c"},
        files={"/a/b/c/got": "/a/b/c\n"},
    ),
    Case(
        "workdir-through-a-link",
        "FROM busybox\nRUN mkdir /real && ln -s real /link\nWORKDIR /link/sub\nRUN touch x\n",
        files={"/real/sub/x": "", "/link": Link("real")},
        config={"WorkingDir": "/link/sub"},
    ),
    Case(
        "volume-keeps-what-the-image-has",
        "FROM busybox\nRUN mkdir /v && echo hi > /v/greeting\nVOLUME /v\nRUN rm /v/greeting && echo later > /v/other\n",
        files={"/v/other": "later\n"},
        absent=("/v/greeting",),
        config={"Volumes": {"/v": {}}},
    ),
    Case(
        "volume-is-inherited",
        'FROM scratch AS a\nVOLUME /a\nFROM a\nVOLUME ["/b"]\n',
        config={"Volumes": {"/a": {}, "/b": {}}},
    ),
    Case("stopsignal-realtime", "FROM scratch\nSTOPSIGNAL SIGRTMIN+3\n", config={"StopSignal": "SIGRTMIN+3"}),
    Case(
        "stopsignal-is-inherited", "FROM scratch AS a\nSTOPSIGNAL SIGQUIT\nFROM a\n", config={"StopSignal": "SIGQUIT"}
    ),
    Case(
        "healthcheck-last-wins-and-is-inherited",
        "FROM scratch AS a\nHEALTHCHECK CMD x\nHEALTHCHECK --interval=5m --timeout=3s CMD curl -f / || exit 1\n"
        "FROM a\nLABEL a=b\n",
        config={
            "Healthcheck": {
                "Test": ["CMD-SHELL", "curl -f / || exit 1"],
                "Interval": 300 * SECOND,
                "Timeout": 3 * SECOND,
            }
        },
    ),
    Case(
        "healthcheck-shell-form-is-not-the-shell-instructions",
        'FROM scratch\nSHELL ["/bin/other", "-c"]\nHEALTHCHECK CMD x\n',
        config={"Healthcheck": {"Test": ["CMD-SHELL", "x"]}, "Shell": ["/bin/other", "-c"]},
    ),
    Case(
        "onbuild-triggers-are-gone-in-the-grandchild",
        "FROM @BEFORE@ AS child\nFROM child\nRUN wc -l < /got > /count\n",
        before="FROM busybox\nONBUILD RUN echo once >> /got\n",
        files={"/count": "1\n"},
        config={"OnBuild": None},
    ),
    Case(
        "onbuild-order-and-context",
        "FROM @BEFORE@\nRUN cat /app/f >> /got\n",
        {"f": "own\n"},
        before="FROM busybox\nONBUILD RUN echo one > /got\nONBUILD RUN echo two >> /got\nONBUILD ADD . /app/\n",
        files={"/got": "one\ntwo\nown\n"},
    ),
    Case(
        "onbuild-copies-and-mounts-from-the-childs-stages",
        "FROM busybox AS build\nRUN echo made > /out\nFROM @BEFORE@\n",
        before="FROM busybox\nONBUILD COPY --from=build /out /copied\n"
        "ONBUILD RUN --mount=from=build,target=/m cat /m/out > /mounted\n",
        files={"/copied": "made\n", "/mounted": "made\n"},
    ),
    Case(
        "onbuild-variables-are-the-childs",
        "ARG V=global\nFROM @BEFORE@\nENV LATE=1\n",
        before="FROM busybox\nENV W=base\nONBUILD ARG V=default\nONBUILD LABEL v=$V w=$W late=$LATE\n",
        options=("--build-arg", "V=given"),
        config={"Labels": {"v": "given", "w": "base", "late": ""}},
    ),
)
