"""Broken Dockerfiles and requests: each is built or refused with a reason of ours, and nothing stays behind."""

import random

import pytest
from builder_kit import Workplace

from boxship.errors import BoxshipError, Internal

LINES = """# syntax=docker/dockerfile:1
# check=skip=all
ARG V=1
FROM base AS a
FROM scratch AS b
FROM a
FROM --platform=$BUILDPLATFORM base AS c
FROM ${V:-base}
ARG X=${V}y Z
ENV A=1 B="two $A" C='3'
ENV OLD form of it
RUN one
RUN ["exec", "form"]
RUN <<EOF
RUN --mount=type=cache,target=/c,id=$A two
RUN --mount=type=bind,from=a,target=/m three
RUN --mount=type=secret,id=s --network=none four
RUN --security=insecure five
COPY file /to/
COPY --from=a /ran /x/
COPY --from=0 --chown=1:2 --chmod=u=rw,g= / /all/
COPY --link --parents --exclude=*.o file ./
COPY <<ONE <<"TWO" /docs/
ADD --checksum=sha256:00 https://127.0.0.1:1/x /y
ADD file.tar /z
WORKDIR sub/../other
USER web:staff
EXPOSE 80 90-95/udp $V
VOLUME ["/v", "/w"]
LABEL a=b "c d"=e
HEALTHCHECK --interval=5s --retries=2 CMD test
HEALTHCHECK NONE
SHELL ["/bin/bash", "-c"]
STOPSIGNAL SIGTERM
ONBUILD RUN later
ONBUILD COPY --from=a / /
ENTRYPOINT ["e"]
CMD c
MAINTAINER somebody
EOF
ONE
TWO
  \\
echo continued
#""".split("\n")


def broken(chance: random.Random) -> str:
    """Some lines in any order, and some of their characters changed."""
    lines = ["FROM base", *chance.choices(LINES, k=chance.randint(1, 14))]
    chance.shuffle(lines)
    text = "\n".join(["FROM base", *lines])
    for _ in range(chance.choice([0, 0, 1, 3])):
        position = chance.randrange(len(text))
        text = (
            text[:position]
            + chance.choice(["", "$", "{", '"', "\\", "\0", "\n", "é", "=", "<<"])
            + text[position + 1 :]
        )
    return text


@pytest.mark.parametrize("seed", range(6))
async def test_any_text_is_built_or_refused(workplace: Workplace, seed: int) -> None:
    chance = random.Random(seed)
    workplace.write(file="data")
    built = 0
    for _ in range(60):
        text = broken(chance)
        try:
            await workplace.build(text, target=chance.choice(["", "", "a", "0", "nothing"]), secrets={"s": b"x"})
            built += 1
        except Internal:
            raise
        except BoxshipError as error:
            assert str(error)
    assert built
    await workplace.garbage.settle()
    assert not workplace.garbage.leases and not workplace.builder.cache.held
