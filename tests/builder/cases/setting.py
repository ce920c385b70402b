"""Instructions that only set the config."""

from cases.shape import Case, Folder

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
)
