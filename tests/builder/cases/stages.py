"""Several stages: names, numbers, what is built and what is not, files from one to the other."""

from cases.shape import Case, File, Folder, Link

CASES = (
    Case(
        "stages-copy-from-name",
        "FROM busybox AS Build\nRUN echo built > /out\nFROM scratch\nCOPY --from=build /out /x\n",
        files={"/x": "built\n"},
        layers=1,
        absent=("/bin",),
        history=("COPY /out /x # buildkit",),
    ),
    Case(
        "stages-copy-from-number",
        "FROM busybox\nRUN echo built > /out\nFROM scratch\nCOPY --from=0 /out /x\n",
        files={"/x": "built\n"},
    ),
    Case(
        "stages-copy-from-image",
        "FROM scratch\nCOPY --from=busybox:latest /www/index.html /x\n",
        files={"/x": "hello from boxship\n"},
    ),
    Case(
        "stages-copy-keeps-owners",
        "FROM busybox AS a\nRUN echo 1 > /f && chown 5:6 /f && chmod 4711 /f && mkdir /d && chown 7 /d\n"
        "FROM scratch\nCOPY --from=a /f /f\nCOPY --from=a /d /d\nCOPY --from=a --chown=1:1 /f /g\n",
        files={"/f": File("1\n", 0o4711, "5:6"), "/g": File("1\n", None, "1:1"), "/d": Folder()},
    ),
    Case(
        "stages-copy-relative-source",
        "FROM busybox AS a\nWORKDIR /w\nRUN echo 1 > f\nFROM scratch\nCOPY --from=a w/f /x\n",
        files={"/x": "1\n"},
    ),
    Case(
        "stages-copy-links",
        "FROM busybox AS a\nRUN mkdir /d && echo 1 > /d/f && ln -s f /d/l && ln -s /d/f /top\n"
        "FROM scratch\nCOPY --from=a /d /x\nCOPY --from=a /top /y\n",
        files={"/x/l": Link("f"), "/y": "1\n"},
    ),
    Case(
        "stages-base-is-a-stage",
        "FROM busybox AS a\nENV X=1\nRUN echo a > /a\nFROM a AS b\nRUN echo $X > /b\nFROM b\n",
        files={"/a": "a\n", "/b": "1\n"},
        config={"Env": ["PATH=/bin", "X=1"]},
    ),
    Case(
        "stages-unneeded-is-not-built",
        "FROM busybox AS broken\nRUN exit 9\nFROM busybox\nRUN echo ok > /ok\n",
        files={"/ok": "ok\n"},
    ),
    Case(
        "stages-target",
        "FROM busybox AS one\nRUN echo 1 > /one\nFROM one AS two\nRUN exit 9\n",
        options=("--target", "one"),
        files={"/one": "1\n"},
    ),
    Case(
        "stages-target-by-number",
        "FROM busybox\nRUN echo 0 > /n\nFROM busybox\nRUN exit 9\n",
        options=("--target", "0"),
        files={"/n": "0\n"},
    ),
    Case(
        "stages-target-in-capitals",
        "FROM busybox AS one\nRUN echo 1 > /one\nFROM scratch AS two\n",
        options=("--target", "ONE"),
        files={"/one": "1\n"},
    ),
    Case(
        "stages-side-by-side",
        "FROM busybox AS a\nRUN echo a > /f\nFROM busybox AS b\nRUN echo b > /f\nFROM busybox AS c\nRUN echo c > /f\n"
        "FROM scratch\nCOPY --from=a /f /a\nCOPY --from=b /f /b\nCOPY --from=c /f /c\n",
        files={"/a": "a\n", "/b": "b\n", "/c": "c\n"},
    ),
    Case(
        "stages-diamond",
        "FROM busybox AS base\nRUN echo base > /base\nFROM base AS l\nRUN echo l > /l\nFROM base AS r\n"
        "RUN echo r > /r\n"
        "FROM l\nCOPY --from=r /base /r /from-r/\n",
        files={"/l": "l\n", "/from-r/r": "r\n", "/from-r/base": "base\n"},
    ),
    Case(
        "stages-name-in-a-variable",
        "ARG WHICH=b\nFROM busybox AS stage-a\nRUN echo a > /f\nFROM busybox AS stage-b\nRUN echo b > /f\n"
        "FROM stage-${WHICH}\n",
        options=("--build-arg", "WHICH=a"),
        files={"/f": "a\n"},
    ),
    Case("stages-of-scratch-alone", "FROM scratch\n", config={"Cmd": None}, layers=0, history=()),
    Case(
        "stages-last-of-two-names-wins",
        "FROM busybox AS a\nRUN echo 1 > /f\nFROM busybox AS a\nRUN echo 2 > /f\nFROM scratch\nCOPY --from=a /f /f\n",
        files={"/f": "2\n"},
    ),
    Case(
        "stages-wildcards-from",
        "FROM busybox AS a\nRUN mkdir /d && touch /d/1.o /d/2.o /d/3.c\nFROM scratch\n"
        "COPY --from=a --exclude=2* /d/*.o /x/\n",
        files={"/x/1.o": ""},
        absent=("/x/2.o", "/x/3.c"),
    ),
    Case(
        "stages-parents-from",
        "FROM busybox AS a\nRUN mkdir -p /usr/lib/x && echo 1 > /usr/lib/x/f\nFROM scratch\n"
        "COPY --from=a --parents /usr/./lib/x/f /o/\n",
        files={"/o/lib/x/f": "1\n"},
        absent=("/o/usr",),
    ),
    Case(
        "stages-mount-from",
        "FROM busybox AS a\nRUN echo 1 > /f\nFROM busybox\n"
        "RUN --mount=type=bind,from=a,source=/f,target=/m cat /m > /got\n",
        files={"/got": "1\n"},
    ),
    Case(
        "stages-copy-links-with-their-targets",
        "FROM busybox AS a\nRUN mkdir -p /real/in && echo 1 > /real/in/f && ln -s real /link\n"
        "FROM scratch\nCOPY --from=a /link/in /x\nCOPY --from=a /link/in/f /y\n",
        files={"/x/f": "1\n", "/y": "1\n"},
    ),
    Case(
        "stages-copy-is-from-the-root-and-not-the-working-directory",
        "FROM busybox AS a\nWORKDIR /w\nRUN echo 1 > /w/f && echo 2 > /f\nFROM scratch\nCOPY --from=a f /x\n",
        files={"/x": "2\n"},
    ),
    Case(
        "stages-clear-the-state",
        'FROM busybox AS a\nENV A=1\nWORKDIR /w\nUSER 5\nSHELL ["/bin/no", "-c"]\n'
        "FROM busybox\nRUN pwd > /got; id -u >> /got\n",
        files={"/got": "/\n0\n"},
        config={"Env": ["PATH=/bin"], "User": None, "WorkingDir": None, "Shell": None},
    ),
    Case(
        "stages-platform-of-a-stage",
        "FROM --platform=linux/$TARGETARCH busybox AS a\nFROM a\nRUN echo ok > /ok\n",
        files={"/ok": "ok\n"},
    ),
    Case(
        "stages-copy-from-number-is-a-stage-before-a-name",
        "FROM busybox AS one\nRUN echo 0 > /f\nFROM busybox AS two\nRUN echo 1 > /f\nFROM scratch\n"
        "COPY --from=0 /f /zero\nCOPY --from=1 /f /one\nCOPY --from=ONE /f /capitals\n",
        files={"/zero": "0\n", "/one": "1\n", "/capitals": "0\n"},
    ),
    Case(
        "stages-name-goes-before-an-image",
        "FROM scratch AS busybox\nCOPY f /f\nFROM scratch\nCOPY --from=busybox /f /x\n",
        {"f": "mine"},
        files={"/x": "mine"},
    ),
    Case(
        "stages-from-an-image-by-digest-is-told-when-it-is-missing",
        "FROM localhost:1/busybox@sha256:" + "0" * 64 + "\n",
        error=("localhost:1/busybox", "Dockerfile:1"),
    ),
)
