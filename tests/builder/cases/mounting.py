"""RUN --mount: every kind and option."""

from cases.shape import OURS, Case, File

CASES = (
    Case(
        "mount-bind-context",
        "FROM busybox\nRUN --mount=type=bind,target=/m cp /m/f /got && test ! -e /m/ignored\n",
        {"f": "f", "ignored": "i", ".dockerignore": "ignored"},
        files={"/got": "f"},
        absent=("/m",),
    ),
    Case(
        "mount-bind-is-the-default-kind",
        "FROM busybox\nWORKDIR /w\nRUN --mount=target=. cat f > /got\n",
        {"f": "f"},
        files={"/got": "f"},
    ),
    Case(
        "mount-bind-source",
        "FROM busybox\nRUN --mount=source=d,dst=/m ls /m > /got\n"
        "RUN --mount=src=d/x,destination=/one cat /one >> /got\n",
        {"d/x": "1\n"},
        files={"/got": "x\n1\n"},
    ),
    Case(
        "mount-bind-read-only",
        "FROM busybox\nRUN --mount=target=/m ! touch /m/new 2>/dev/null && echo ro > /got\n",
        {"f": "f"},
        files={"/got": "ro\n"},
    ),
    Case(
        "mount-bind-rw-is-thrown-away",
        "FROM busybox\nRUN --mount=target=/m,rw echo new > /m/new && cp /m/new /got\n"
        "RUN --mount=target=/m ls /m > /ls\n",
        {"f": "f"},
        files={"/got": "new\n", "/ls": "Dockerfile\nf\n"},
    ),
    Case(
        "mount-bind-image",
        "FROM busybox\nRUN --mount=from=busybox,target=/m,source=/www cp /m/index.html /got\n",
        files={"/got": "hello from boxship\n"},
    ),
    Case(
        "mount-bind-stage-rw",
        "FROM busybox AS a\nRUN echo 1 > /f\nFROM busybox\n"
        "RUN --mount=from=a,target=/m,rw echo 2 > /m/f && cp /m/f /got\n",
        files={"/got": "2\n"},
    ),
    Case(
        "mount-variables",
        "FROM busybox\nARG where=/m\nRUN --mount=type=bind,source=$nothing/d,target=${where} cat $where/x > /got\n",
        {"d/x": "1"},
        files={"/got": "1"},
    ),
    Case(
        "mount-cache-is-kept",
        "FROM busybox\nRUN --mount=type=cache,target=/c,id=case-kept echo 1 > /c/f\n"
        "RUN --mount=type=cache,target=/c,id=case-kept cp /c/f /got\n",
        files={"/got": "1\n"},
        absent=("/c/f",),
    ),
    Case(
        "mount-cache-between-stages",
        "FROM busybox AS a\nRUN --mount=type=cache,target=/case-between echo 1 > /case-between/f && touch /done\n"
        "FROM busybox\n"
        "COPY --from=a /done /\nRUN --mount=type=cache,target=/case-between cp /case-between/f /got\n",
        files={"/got": "1\n"},
    ),
    Case(
        "mount-cache-mode-and-owner",
        "FROM busybox\n"
        "RUN --mount=type=cache,target=/c,id=case-mode,mode=0700,uid=1000,gid=50 stat -c '%a %u %g' /c > /got\n",
        files={"/got": "700 1000 50\n"},
    ),
    Case(
        "mount-cache-from",
        "FROM scratch AS a\nCOPY f /d/\nFROM busybox\n"
        "RUN --mount=type=cache,target=/c,id=case-from,from=a,source=d cat /c/f > /got\n",
        {"f": "seed"},
        files={"/got": "seed"},
    ),
    Case(
        "mount-cache-private-and-locked",
        "FROM busybox\n"
        "RUN --mount=type=cache,target=/p,sharing=private --mount=type=cache,target=/l,id=case-locked,sharing=locked "
        "touch /p/x /l/x && ls /p /l > /got\n",
        files={"/got": "/l:\nx\n\n/p:\nx\n"},
    ),
    Case(
        "mount-cache-read-only",
        "FROM busybox\nRUN --mount=type=cache,target=/c,id=case-ro,ro ! touch /c/x 2>/dev/null && echo ro > /got\n",
        files={"/got": "ro\n"},
    ),
    Case(
        "mount-tmpfs",
        "FROM busybox\n"
        "RUN --mount=type=tmpfs,target=/t,size=64k echo x > /t/f && df -k /t | awk 'END {print $2}' > /got\n",
        files={"/got": "64\n"},
        absent=("/t/f",),
    ),
    Case(
        "mount-tmpfs-read-only",
        "FROM busybox\nRUN --mount=type=tmpfs,target=/t,ro ! touch /t/x 2>/dev/null && echo ro > /got\n",
        files={"/got": "ro\n"},
    ),
    Case(
        "mount-tmpfs-hides-and-begins-empty",
        "FROM busybox\nRUN mkdir /t && echo below > /t/f\n"
        "RUN --mount=type=tmpfs,target=/t ls -A /t > /got && touch /t/new\n",
        files={"/got": "", "/t/f": "below\n"},
        absent=("/t/new",),
    ),
    Case(
        "mount-cache-defaults",
        "FROM busybox\n"
        "RUN --mount=type=cache,target=/case-defaults stat -c '%a %u %g' /case-defaults > /got\n"
        "RUN --mount=type=cache,target=/elsewhere,id=/case-defaults touch /elsewhere/x\n"
        "RUN --mount=type=cache,target=/case-defaults ls /case-defaults >> /got\n",
        files={"/got": "755 0 0\nx\n"},
    ),
    Case(
        "mount-cache-private-is-found-again",
        "FROM busybox\nRUN --mount=type=cache,target=/c,id=case-private,sharing=private echo 1 > /c/f\n"
        "RUN --mount=type=cache,target=/c,id=case-private,sharing=private cp /c/f /got\n",
        files={"/got": "1\n"},
    ),
    Case(
        "mount-bind-id-is-a-name",
        "FROM busybox\nRUN --mount=type=bind,id=any,source=f,target=/m cat /m > /got\n",
        {"f": "f"},
        files={"/got": "f"},
    ),
    Case(
        "mount-bind-of-the-previous-image-is-unchanged-by-rw",
        "FROM busybox AS a\nRUN echo 1 > /f\nFROM busybox\n"
        "RUN --mount=from=a,target=/m,readwrite=true rm /m/f && ! test -e /m/f\n"
        "RUN --mount=from=a,target=/m cp /m/f /got\n",
        files={"/got": "1\n"},
    ),
    Case(
        "mount-bind-needs-a-target",
        "FROM busybox\nRUN --mount=type=bind,source=f true\n",
        {"f": "f"},
        error=("target",),
    ),
    Case(
        "mount-secret-file",
        "FROM busybox\n"
        "RUN --mount=type=secret,id=s cat /run/secrets/s > /got && stat -c '%a %u' /run/secrets/s >> /got\n",
        {"hidden": "tell\n"},
        ("--secret", "id=s,src=@FOLDER@/hidden"),
        {"/got": "tell\n400 0\n"},
        absent=("/run/secrets/s",),
        doors=OURS,
    ),
    Case(
        "mount-secret-target-mode-owner",
        "FROM busybox\n"
        "RUN --mount=type=secret,id=s,target=/etc/s,mode=0440,uid=1000,gid=50 stat -c '%a %u %g' /etc/s > /got\n",
        {"hidden": "tell\n"},
        ("--secret", "id=s,src=@FOLDER@/hidden"),
        {"/got": "440 1000 50\n"},
        doors=OURS,
    ),
    Case(
        "mount-secret-environment",
        "FROM busybox\nRUN --mount=type=secret,id=s,env=TOLD test ! -e /run/secrets/s && echo $TOLD > /got\n",
        {"hidden": "tell"},
        ("--secret", "id=s,src=@FOLDER@/hidden"),
        {"/got": "tell\n"},
        config={"Env": ["PATH=/bin"]},
        doors=OURS,
    ),
    Case(
        "mount-secret-both",
        "FROM busybox\nRUN --mount=type=secret,id=s,env=TOLD,target=/s cat /s > /got && echo $TOLD >> /got\n",
        {"hidden": "tell\n"},
        ("--secret", "id=s,src=@FOLDER@/hidden"),
        {"/got": "tell\ntell\n"},
        doors=OURS,
    ),
    Case(
        "mount-secret-optional",
        "FROM busybox\nRUN --mount=type=secret,id=s test ! -e /run/secrets/s && echo none > /got\n",
        files={"/got": "none\n"},
    ),
    Case(
        "mount-secret-by-its-source",
        "FROM busybox\nRUN --mount=type=secret,source=s,target=/etc/other cat /etc/other > /got\n"
        "RUN --mount=type=secret,target=/x/s cat /x/s >> /got\n",
        {"hidden": "tell\n"},
        ("--secret", "id=s,src=@FOLDER@/hidden"),
        {"/got": "tell\ntell\n"},
        absent=("/etc/other", "/x/s"),
        doors=OURS,
    ),
    Case(
        "mount-secret-cannot-be-written",
        "FROM busybox\nRUN --mount=type=secret,id=s ! sh -c 'echo x > /run/secrets/s' 2>/dev/null && echo ro > /got\n",
        {"hidden": "tell\n"},
        ("--secret", "id=s,src=@FOLDER@/hidden"),
        {"/got": "ro\n"},
        doors=OURS,
    ),
    Case(
        "mount-secret-is-not-in-the-key",
        'FROM busybox\nRUN --mount=type=secret,id=s,env=S echo once > /got && test -n "$S"\n',
        {"hidden": "tell\n"},
        ("--secret", "id=s,src=@FOLDER@/hidden"),
        {"/got": "once\n"},
        history=('RUN /bin/sh -c echo once > /got && test -n "$S" # buildkit',),
        doors=OURS,
    ),
    Case("mount-secret-required", "FROM busybox\nRUN --mount=type=secret,id=s,required true\n", error=("secret", "s")),
    Case(
        "mount-several",
        "FROM busybox AS a\nRUN echo a > /f\nFROM busybox\n"
        "RUN --mount=from=a,target=/a --mount=target=/ctx --mount=type=tmpfs,target=/tmp/t "
        "cat /a/f /ctx/f > /got && touch /tmp/t/x\n",
        {"f": "c\n"},
        files={"/got": "a\nc\n"},
    ),
    Case(
        "mount-over-files-of-the-image",
        "FROM busybox\nRUN --mount=type=tmpfs,target=/www ls /www > /got\n",
        files={"/got": "", "/www/index.html": File()},
    ),
    Case(
        "mount-ssh-optional",
        'FROM busybox\nRUN --mount=type=ssh echo "[$SSH_AUTH_SOCK]" > /got\n',
        files={"/got": "[]\n"},
    ),
    Case("mount-ssh-required", "FROM busybox\nRUN --mount=type=ssh,required true\n", error=("ssh",)),
)
