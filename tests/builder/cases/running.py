"""RUN: forms, shells, users, folders, what a step leaves."""

from cases.shape import Case, File, Folder, Link

CASES = (
    Case(
        "run-shell-form",
        "FROM busybox\nRUN echo a $((1+1)) | tr a b > /got\n",
        files={"/got": File("b 2\n", 0o644, "0:0")},
        history=("RUN /bin/sh -c echo a $((1+1)) | tr a b > /got # buildkit",),
        config={"Cmd": ["sh"]},
        layers=2,
    ),
    Case("run-exec-form", 'FROM busybox\nRUN ["touch", "/a $HOME b"]\n', files={"/a $HOME b": ""}),
    Case(
        "run-exec-form-broken-json-is-shell",
        "FROM busybox\nRUN [ -d /bin ] && echo yes > /got\n",
        files={"/got": "yes\n"},
    ),
    Case(
        "run-continued-lines",
        "FROM busybox\nRUN echo one \\\n  # a comment in between\n  two \\\n\n  three > /got\n",
        files={"/got": "one two three\n"},
    ),
    Case("run-crlf", "FROM busybox\r\nRUN echo one \\\r\n two > /got\r\n", files={"/got": "one two\n"}),
    Case("run-lower-case-and-tabs", "from busybox\n\trun\techo one > /got\n", files={"/got": "one\n"}),
    Case("run-bom", "\ufeffFROM busybox\nRUN echo one > /got\n", files={"/got": "one\n"}),
    Case(
        "run-shell-instruction",
        'FROM busybox\nSHELL ["/bin/sh", "-ec"]\nRUN echo $0 $- > /got\nSHELL ["/bin/ash", "-c"]\n'
        "RUN echo again >> /got\nCMD x\n",
        files={"/got": "/bin/sh ce\nagain\n"},
        config={"Shell": ["/bin/ash", "-c"], "Cmd": ["/bin/ash", "-c", "x"]},
    ),
    Case(
        "run-as-user",
        "FROM busybox\nRUN mkdir -m 777 /d\nUSER web\nRUN id -u > /d/got && id -g >> /d/got && echo $HOME >> /d/got\n",
        files={"/d/got": File("1000\n1000\n/tmp\n", owner="1000:1000")},
        config={"User": "web"},
    ),
    Case(
        "run-as-user-and-group",
        "FROM busybox\nRUN mkdir -m 777 /d\nUSER 1000:staff\nRUN id -g > /d/got\nUSER 7\nRUN id -u > /d/seven\n",
        files={"/d/got": File("50\n", owner="1000:50"), "/d/seven": "7\n"},
    ),
    Case(
        "run-in-working-directory",
        "FROM busybox\nWORKDIR /a/b\nRUN pwd > got\nWORKDIR ../c\nRUN pwd > got\n",
        files={"/a/b/got": "/a/b\n", "/a/c/got": "/a/c\n"},
    ),
    Case(
        "run-removes-and-replaces",
        "FROM busybox\nRUN mkdir -p /d/sub && echo 1 > /d/sub/f && echo 2 > /d/g && ln -s g /d/l\n"
        "RUN rm -r /d/sub && rm /d/g && mkdir /d/g && rm /d/l && echo 3 > /d/l\n",
        files={"/d/g": Folder(), "/d/l": "3\n"},
        absent=("/d/sub", "/d/sub/f"),
        layers=3,
    ),
    Case(
        "run-removes-files-of-the-base",
        "FROM busybox\nRUN rm /www/index.html && rm -r /root\n",
        files={"/www": Folder()},
        absent=("/www/index.html", "/root"),
    ),
    Case(
        "run-makes-a-folder-anew",
        "FROM busybox\nRUN mkdir /d && touch /d/old\nRUN rm -r /d && mkdir /d && touch /d/new\n",
        files={"/d/new": ""},
        absent=("/d/old",),
    ),
    Case(
        "run-modes-owners-links",
        "FROM busybox\n"
        "RUN touch /f && chown 1000:50 /f && chmod 4750 /f && ln -s /f /s && mkdir -m 1777 /t && mkfifo /p\n",
        files={"/f": File("", 0o4750, "1000:50"), "/s": Link("/f"), "/t": Folder(0o1777), "/p": File(None, 0o644)},
    ),
    Case(
        "run-hard-links",
        "FROM busybox\nRUN echo x > /a && ln /a /b\nRUN test $(stat -c %h /a) = 2 && stat -c %h /b > /count\n",
        files={"/count": "2\n"},
    ),
    Case(
        "run-changes-only-a-mode",
        "FROM busybox\nRUN chmod 600 /www/index.html\n",
        files={"/www/index.html": File("hello from boxship\n", 0o600)},
    ),
    Case(
        "run-changes-nothing",
        "FROM busybox\nRUN true\nRUN echo hi > /dev/null\n",
        layers=1,
        history=("RUN /bin/sh -c true # buildkit", "RUN /bin/sh -c echo hi > /dev/null # buildkit"),
    ),
    Case(
        "run-odd-names",
        "FROM busybox\n"
        "RUN mkdir '/a b' && touch '/a b/é' \"/a b/$(printf 'x%.0s' $(seq 200))\" && touch '/a b/-x' '/a b/*'\n",
        files={"/a b/é": "", "/a b/" + "x" * 200: "", "/a b/-x": "", "/a b/*": ""},
    ),
    Case("run-says-output", "FROM busybox\nRUN echo loud; echo wrong >&2\n", says=("loud", "wrong")),
    Case("run-hostname", "FROM busybox\nRUN hostname > /got\n", files={"/got": "buildkitsandbox\n"}),
    Case(
        "run-leaves-no-traces",
        "FROM busybox\nRUN touch /ok\n",
        absent=("/etc/resolv.conf.tmp", "/dev/pipes", "/run/secrets"),
        files={"/ok": ""},
    ),
    Case("run-network-none", "FROM busybox\nRUN --network=none ls /sys/class/net > /got\n", files={"/got": "lo\n"}),
    Case(
        "run-network-default-has-an-interface",
        "FROM busybox\nRUN ls /sys/class/net | grep -v '^lo$' > /got && test -s /got\n",
    ),
    Case(
        "run-network-host",
        "FROM busybox\nRUN --network=host true\n",
        options=("--allow", "network.host"),
        doors=("boxship",),
    ),
    Case(
        "run-many-steps",
        "FROM busybox\n" + "".join(f"RUN echo {n} >> /got\n" for n in range(6)),
        files={"/got": "".join(f"{n}\n" for n in range(6))},
        layers=7,
    ),
    Case("run-stdin-is-empty", "FROM busybox\nRUN cat > /got\n", files={"/got": ""}),
    Case("run-trailing-comment-belongs-to-the-shell", "FROM busybox\nRUN echo a > /got # b\n", files={"/got": "a\n"}),
    Case(
        "run-security-insecure",
        "FROM busybox\nRUN --security=insecure mkdir /m && mount -t tmpfs x /m && umount /m && echo yes > /got\n",
        options=("--allow", "security.insecure"),
        files={"/got": "yes\n"},
        doors=("boxship",),
    ),
    Case(
        "run-security-sandbox",
        "FROM busybox\nRUN --security=sandbox mkdir /m && ! mount -t tmpfs x /m 2>/dev/null && echo no > /got\n",
        files={"/got": "no\n"},
    ),
    Case(
        "run-network-host-has-the-hosts-interfaces",
        "FROM busybox\nRUN --network=host ls /sys/class/net | grep -c '^lo$' > /got\n",
        options=("--network", "host"),
        files={"/got": "1\n"},
    ),
    Case(
        "run-network-of-the-build-and-of-the-step",
        "FROM busybox\nRUN ls /sys/class/net > /one\nRUN --network=default ls /sys/class/net > /two\n",
        options=("--network", "none"),
        files={"/one": "lo\n", "/two": "lo\n"},
    ),
    Case(
        "run-exec-form-has-no-variables",
        'FROM busybox\nENV V=x\nRUN ["sh", "-c", "echo $V > /one"]\nRUN ["touch", "/$V"]\n',
        files={"/one": "x\n", "/$V": ""},
        history=("ENV V=x", "RUN sh -c echo $V > /one # buildkit", "RUN touch /$V # buildkit"),
    ),
    Case(
        "run-white-space-of-the-reference",
        'FROM busybox\nRUN echo "\\\n     hello\\\n     world" > /got\n',
        files={"/got": "     hello     world\n"},
    ),
    Case(
        "run-comment-between-lines-of-the-reference",
        "FROM busybox\nRUN echo hello \\\n# comment\nworld > /got\nRUN echo 'some # of cool things' >> /got\n",
        files={"/got": "hello world\nsome # of cool things\n"},
    ),
    Case(
        "run-backslashes-reach-the-shell",
        "FROM busybox\nRUN printf 'a\\tb\\\\c\\n' > /got\n",
        files={"/got": "a\tb\\c\n"},
    ),
    Case(
        "run-default-path",
        "FROM scratch\nCOPY --from=busybox /bin /bin\nRUN echo $PATH > /got\n",
        files={"/got": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"},
    ),
    Case(
        "run-shell-form-of-an-inherited-shell",
        'FROM busybox AS a\nSHELL ["/bin/sh", "-ec"]\nFROM a\nRUN echo $- > /got\n',
        files={"/got": "ce\n"},
        history=("SHELL [/bin/sh -ec]", "RUN /bin/sh -ec echo $- > /got # buildkit"),
    ),
    Case(
        "run-as-user-with-one-group-only",
        "FROM busybox\nRUN mkdir -m 777 /d\nUSER web:staff\nRUN id -G > /d/got\nUSER web\nRUN id -G > /d/all\n",
        files={"/d/got": "50\n", "/d/all": "1000 50\n"},
    ),
    Case(
        "run-makes-a-missing-working-directory",
        "FROM @BEFORE@\nRUN pwd > got\n",
        before="FROM busybox\nWORKDIR /gone\nRUN rm -r /gone\n",
        files={"/gone/got": "/gone\n"},
    ),
)
