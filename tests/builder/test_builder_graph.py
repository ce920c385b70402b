"""Plans: variables, stages, triggers, histories and configs, without executing anything."""

import random
import time
from pathlib import Path
from typing import Any

import pytest

from boxship.builder.dockerfile.parse import parse
from boxship.builder.graph import CopyAction, Graph, ImageSource, RunAction, Step
from boxship.builder.history import duration, health_check, quoted
from boxship.builder.model import BuildRequest
from boxship.builder.operations import FolderTree
from boxship.builder.planner import Base, missing_bases, plan
from boxship.builder.stages import Failure
from boxship.errors import Invalid
from boxship.spec.image import ExecutionConfig, ImageHealthCheck, Platform

HOST = Platform("amd64", "linux")
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def planned(text: str, config: ExecutionConfig | None = None, offers: Any = None, **options: Any) -> Graph:
    """The graph of a Dockerfile whose images all have one config."""
    options.setdefault("context", FolderTree(Path("/context")))
    request = BuildRequest(**options)
    dockerfile = parse(text)
    known: dict[ImageSource, Base] = {}
    while missing := missing_bases(dockerfile, request, HOST, known):
        known |= {source: Base(config or ExecutionConfig()) for source in missing}
    return plan(dockerfile, request, HOST, known, offers or (lambda identifier: False))


def last(graph: Graph) -> Step:
    return graph.steps[graph.target]


def environment(graph: Graph) -> dict[str, str]:
    """What the last RUN sees."""
    action = [step.action for step in graph.lineage() if isinstance(step.action, RunAction)][-1]
    return dict(entry.partition("=")[::2] for entry in action.operation.environment)


def histories(graph: Graph) -> list[str]:
    return [step.history for step in graph.lineage() if step.history]


def refused(text: str, **options: Any) -> str:
    with pytest.raises((Failure, Invalid)) as caught:
        planned(text, **options)
    return str(caught.value)


def test_an_argument_lasts_to_the_end_of_its_stage_and_in_stages_made_from_it() -> None:
    graph = planned("FROM x AS a\nARG A=1\nFROM a\nRUN c\n")
    assert environment(graph)["A"] == "1"
    assert "A" not in environment(planned("FROM x AS a\nARG A=1\nFROM x\nRUN c\n"))


def test_a_given_argument_replaces_the_default_and_the_environment_goes_before_both() -> None:
    text = "FROM x\nARG A=1\nRUN c\n"
    assert environment(planned(text))["A"] == "1"
    assert environment(planned(text, arguments={"A": "2"}))["A"] == "2"
    assert environment(planned(text, arguments={"A": None}))["A"] == "1"
    assert environment(planned("FROM x\nARG A=1\nENV A=3\nRUN c\n", arguments={"A": "2"}))["A"] == "3"
    assert environment(planned("FROM x\nENV A=3\nARG A=1\nRUN c\n", arguments={"A": "2"}))["A"] == "3"


def test_arguments_before_the_first_stage_are_seen_by_from_and_after_a_declaration() -> None:
    text = "ARG V=1\nARG W=${V}x\nFROM image:$W\nRUN c\n"
    graph = planned(text)
    assert graph.lineage()[0].name == "[1/2] FROM docker.io/library/image:1x"
    assert "V" not in environment(graph)
    assert environment(planned("ARG V=1\nFROM x\nARG V\nRUN c\n"))["V"] == "1"
    assert environment(planned("ARG V=1\nFROM x\nARG V=2\nRUN c\n"))["V"] == "2"
    assert environment(planned("ARG V=1\nFROM x\nARG V\nRUN c\n", arguments={"V": "9"}))["V"] == "9"


def test_one_env_sees_the_values_from_before_itself() -> None:
    graph = planned("FROM x\nENV abc=hello\nENV abc=bye def=$abc\nENV ghi=$abc\nRUN c\n")
    found = environment(graph)
    assert (found["abc"], found["def"], found["ghi"]) == ("bye", "hello", "bye")


def test_platform_arguments() -> None:
    text = "FROM --platform=$BUILDPLATFORM x AS a\nARG TARGETARCH\nARG TARGETVARIANT\nARG BUILDOS\nRUN c\n"
    graph = planned(text, platform=Platform("arm", "linux", "v7"))
    found = environment(graph)
    assert (found["TARGETARCH"], found["TARGETVARIANT"], found["BUILDOS"]) == ("arm", "v7", "linux")
    assert graph.platform == HOST
    assert "TARGETARCH" not in environment(planned("FROM x\nRUN c\n"))


def test_proxies_reach_the_command_but_neither_history_nor_environment() -> None:
    graph = planned("FROM x\nRUN c\n", arguments={"http_proxy": "http://p", "OTHER": "x"})
    action = last(graph).action
    assert isinstance(action, RunAction)
    assert action.proxies == {"http_proxy": "http://p"}
    assert "http_proxy" not in environment(graph)
    assert histories(graph) == ["RUN /bin/sh -c c # buildkit"]
    assert graph.unused == ("OTHER",)
    declared = planned("FROM x\nARG http_proxy\nRUN c\n", arguments={"http_proxy": "http://p"})
    assert environment(declared)["http_proxy"] == "http://p"


def test_entrypoint_takes_the_command_of_the_image_away_but_not_its_own() -> None:
    base = ExecutionConfig(Cmd=("old",))
    assert last(planned('FROM x\nENTRYPOINT ["e"]\n', base)).config.Cmd is None
    assert last(planned('FROM x\nCMD ["c"]\nENTRYPOINT ["e"]\n', base)).config.Cmd == ("c",)
    assert last(planned('FROM x\nENTRYPOINT ["e"]\nCMD ["c"]\n', base)).config.Cmd == ("c",)


def test_working_directories_join() -> None:
    graph = planned("FROM x\nWORKDIR a\nWORKDIR b/../c\nWORKDIR /d\nWORKDIR e/\n")
    paths = [step.config.WorkingDir for step in graph.lineage()[1:]]
    assert paths == ["/a", "/a/c", "/d", "/d/e"]


def test_what_a_config_becomes() -> None:
    graph = planned(
        'FROM scratch\nLABEL a=1 b="two words"\nEXPOSE 80 90-91/udp\nVOLUME /v /w\nUSER web\nSTOPSIGNAL SIGINT\n'
        'SHELL ["/bin/bash", "-c"]\nCMD run\nONBUILD RUN later\n'
    )
    config = last(graph).config
    assert config.Labels == {"a": "1", "b": "two words"}
    assert config.ExposedPorts == {"80/tcp": {}, "90/udp": {}, "91/udp": {}}
    assert config.Volumes == {"/v": {}, "/w": {}}
    assert (config.User, config.StopSignal) == ("web", "SIGINT")
    assert config.Cmd == ("/bin/bash", "-c", "run")
    assert config.OnBuild == ("RUN later",)
    assert config.Env == (PATH,)
    assert config.WorkingDir == "/"


def test_history_reads_as_buildkit_writes_it() -> None:
    graph = planned(
        "FROM x\nARG A=1 B\nENV C=2 D=x\\ y\nRUN echo $A\nCOPY --chown=1:2 --chmod=755 a b c/\nADD a /x\nWORKDIR /w\n"
        'USER u\nVOLUME ["/v", "/w"]\nEXPOSE 90 80\nENTRYPOINT ["a", "b\\"c"]\nCMD x y\nSHELL ["/bin/bash", "-c"]\n'
        "HEALTHCHECK --interval=90s --retries=3 CMD true\nLABEL l=m\nSTOPSIGNAL 9\nMAINTAINER me\nRUN <<E\nline\nE\n"
    )
    assert histories(graph) == [
        "ARG A=1 B",
        "ENV C=2 D=x y",
        "RUN |2 A=1 B= /bin/sh -c echo $A # buildkit",
        "COPY --chown=1:2 --chmod=755 a b c/ # buildkit",
        "ADD a /x # buildkit",
        "WORKDIR /w",
        "USER u",
        "VOLUME [/v /w]",
        "EXPOSE map[80/tcp:{} 90/tcp:{}]",
        'ENTRYPOINT ["a" "b\\"c"]',
        'CMD ["/bin/sh" "-c" "x y"]',
        "SHELL [/bin/bash -c]",
        'HEALTHCHECK &{["CMD-SHELL" "true"] "1m30s" "0s" "0s" "0s" \'\\x03\'}',
        "LABEL l=m",
        "STOPSIGNAL 9",
        "MAINTAINER me",
        "RUN |2 A=1 B= /bin/bash -c line\n # buildkit",
    ]


def test_triggers_of_the_base_come_first_and_are_gone_afterwards() -> None:
    base = ExecutionConfig(OnBuild=("ENV A=1", "RUN triggered $A"))
    graph = planned("FROM x\nRUN own\n", base)
    assert [step.instruction for step in graph.lineage()] == ["FROM x", "ENV A=1", "RUN triggered $A", "RUN own"]
    assert last(graph).config.OnBuild is None
    assert last(graph).name == "[3/3] RUN own"


def test_triggers_of_a_stage_above_count_too() -> None:
    graph = planned("FROM x AS a\nONBUILD RUN later\nFROM a\nRUN own\n")
    assert [step.instruction for step in graph.lineage()][-2:] == ["RUN later", "RUN own"]


def test_a_trigger_may_need_another_stage() -> None:
    base = ExecutionConfig(OnBuild=("COPY --from=tools /t /t",))
    graph = planned("FROM scratch AS tools\nCOPY a /t\nFROM x\n", base)
    assert any(step.stage == "tools" for step in graph.steps.values())


def test_targets_by_name_and_number() -> None:
    text = "FROM x AS a\nRUN a\nFROM x AS B\nRUN b\nFROM x\nRUN c\n"
    assert last(planned(text)).instruction == "RUN c"
    assert last(planned(text, target="A")).instruction == "RUN a"
    assert last(planned(text, target="b")).instruction == "RUN b"
    assert last(planned(text, target="1")).instruction == "RUN b"
    assert "could not be found" in refused(text, target="none")


def test_from_a_stage_a_number_an_image_or_a_context() -> None:
    graph = planned(
        "FROM x AS a\nRUN a\nFROM scratch\nCOPY --from=a / /1/\nCOPY --from=0 / /2/\nCOPY --from=img:2 / /3/\n"
        "COPY --from=ctx / /4/\nCOPY . /5/\n",
        contexts={"ctx": FolderTree(Path("/other"))},
    )
    names = [graph.steps[step.action.inputs[0]].name for step in graph.lineage() if isinstance(step.action, CopyAction)]
    assert names == [
        "[a 2/2] RUN a",
        "[a 2/2] RUN a",
        "FROM docker.io/library/img:2",
        "[context ctx] load from client",
        "[internal] load build context",
    ]


def test_named_contexts_replace_images_and_stages() -> None:
    other = {"x": "docker-image://y:3"}
    assert planned("FROM x\n", contexts=other).lineage()[0].name == "[1/1] FROM docker.io/library/y:3"
    graph = planned("FROM x AS x\nRUN never\nFROM x\nRUN own\n", contexts=other)
    assert [step.instruction for step in graph.lineage()][-1] == "RUN own"
    assert not any(step.instruction == "RUN never" for step in graph.steps.values())
    folder = planned("FROM base\nRUN own\n", contexts={"base": FolderTree(Path("/files"))})
    assert isinstance(folder.lineage()[0].action, CopyAction)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("FROM x AS a\nCOPY --from=a / /\n", "circular dependency"),
        ("FROM x\nCOPY --from=0 / /\n", "refers to current build stage"),
        ("FROM x\nCOPY --from=7 / /\n", "no such stage"),
        ("FROM $NONE\n", "should not be blank"),
        ("FROM x\nCOPY a b c\n", "the destination must be a directory and end with a /"),
        ("FROM x\nADD --checksum=sha256:ab https://e.org/f /\n", "digest"),
        ("FROM x\nADD --checksum=sha256:ab f /\n", "checksum requires HTTP(S) or Git sources"),
        ("FROM x\nADD --checksum=sha256:ab https://e.org/f https://e.org/g /\n", "for multiple sources"),
        ("FROM x\nADD --checksum=xyz https://e.org/a.git /\n", "a commit is expected"),
        ("FROM x\nCOPY https://e.org/f /\n", "source can't be a URL for COPY"),
        ("FROM x\nCOPY https://e.org/a.git /\n", "source can't be a git ref for COPY"),
        ("FROM x\nRUN --network=some c\n", "network"),
        ("FROM x\nRUN --security=insecure c\n", "security.insecure is not allowed"),
        ("FROM x\nRUN --network=host c\n", "network.host is not allowed"),
        ("FROM x\nRUN --mount=type=secret,id=s,required=true c\n", "secret s: not found"),
        ("FROM x\nRUN --mount=type=ssh,required=true c\n", "no SSH key"),
        ("FROM x\nEXPOSE 70000\n", "invalid containerPort"),
        ("FROM x\nARG $NONE=1\n", "ARG names can not be blank"),
        ("FROM x\nENV $NONE=1\n", "ENV names can not be blank"),
        ("FROM x\nENV A=${B:?must be there}\n", "must be there"),
        ("FROM --platform=$NONE x\n", "platform is empty"),
    ],
)
def test_wrong_instructions_are_refused(text: str, words: str) -> None:
    assert words in refused(text)


@pytest.mark.parametrize(
    "text",
    [
        "EXPOSE {}",
        "EXPOSE 1-{}",
        "COPY --from={} a b",
        "RUN --mount=from={},target=/x a",
        "RUN --mount=type=tmpfs,target=/x,size={} a",
        "HEALTHCHECK --interval={}s CMD a",
        "HEALTHCHECK --interval={} CMD a",
        "HEALTHCHECK --interval=" + "9" * 50 + "h CMD a",
        "STOPSIGNAL {}",
    ],
)
def test_numbers_without_end_are_refused(text: str) -> None:
    began = time.process_time()
    with pytest.raises((Failure, Invalid)):
        planned(f"FROM scratch\n{text.format('1' * 60_000)}\n")
    assert "could not be found" in refused("FROM scratch\nRUN a\n", target="1" * 60_000)
    assert time.process_time() - began < 3


def test_no_context_is_told_only_where_one_is_needed() -> None:
    planned("FROM x\nRUN a\n", context=None)
    assert "no build context" in refused("FROM x\nCOPY a b\n", context=None)


def test_mounts() -> None:
    graph = planned(
        "FROM x AS a\nFROM x\nWORKDIR /w\nARG T=/t\n"
        "RUN --mount=target=$T,from=a,source=/s --mount=type=cache,target=c,sharing=locked,uid=5"
        " --mount=type=secret,id=s --mount=type=secret,id=e,env=E --mount=type=secret,id=none"
        " --mount=type=ssh --mount=type=tmpfs,target=/tmp,size=1m c\n",
        secrets={"s": b"S", "e": b"value"},
        offers=lambda identifier: identifier == "default",
    )
    action = last(graph).action
    assert isinstance(action, RunAction)
    shown = [(mount.kind, mount.target, mount.source) for mount in action.operation.mounts]
    assert shown == [
        ("bind", "/t", "/s"),
        ("cache", "/w/c", "/"),
        ("secret", "/run/secrets/s", ""),
        ("ssh", "/run/buildkit/ssh_agent.0", ""),
        ("tmpfs", "/tmp", ""),
    ]
    bind, cache, secret, _, tmpfs = action.operation.mounts
    assert bind.read_only and not cache.read_only
    assert (cache.identifier, cache.sharing, cache.mode, cache.uid) == ("/w/c", "locked", 0o755, 5)
    assert secret.content == b"S" and secret.mode == 0o400
    assert action.operation.secrets == {"E": "value"}
    assert tmpfs.size == 1 << 20
    assert environment(graph)["SSH_AUTH_SOCK"] == "/run/buildkit/ssh_agent.0"


@pytest.mark.parametrize(
    ("keys", "content", "target"),
    [
        ("id=a", b"A", "/run/secrets/a"),
        ("src=a", b"A", "/run/secrets/a"),
        ("source=a,target=/etc/b", b"A", "/etc/b"),
        ("target=/etc/b", b"B", "/etc/b"),
        ("id=a,target=b", b"A", "/w/b"),
        ("id=x/a", b"X", "/run/secrets/a"),
    ],
)
def test_which_secret_is_meant_and_where_it_goes(keys: str, content: bytes, target: str) -> None:
    text = f"FROM x\nWORKDIR /w\nRUN --mount=type=secret,{keys} c\n"
    action = last(planned(text, secrets={"a": b"A", "b": b"B", "x/a": b"X"})).action
    assert isinstance(action, RunAction)
    (mount,) = action.operation.mounts
    assert (mount.content, mount.target, mount.read_only, mount.mode) == (content, target, True, 0o400)


def test_arguments_that_steer_the_build() -> None:
    text = "FROM x\nRUN --mount=type=cache,target=/c c\n"
    for given, identifier, hostname in (
        ({}, "/c", "buildkitsandbox"),
        ({"BUILDKIT_CACHE_MOUNT_NS": "mine", "BUILDKIT_SANDBOX_HOSTNAME": "here"}, "mine//c", "here"),
    ):
        graph = planned(text, arguments=given)
        action = last(graph).action
        assert isinstance(action, RunAction)
        assert action.operation.mounts[0].identifier == identifier
        assert action.operation.hostname == hostname
        assert graph.unused == ()


def test_mounts_say_whether_they_may_be_written() -> None:
    kinds = ("bind,target=/m", "cache,target=/m", "tmpfs,target=/m", "ssh")
    for written, expected in (
        ("", (True, False, False, False)),
        (",ro", (True, True, True, True)),
        (",rw=true", (False, False, False, False)),
        (",readonly=false", (False, False, False, False)),
    ):
        found = []
        for kind in kinds:
            action = last(planned(f"FROM x\nRUN --mount=type={kind}{written} c\n", offers=lambda _: True)).action
            assert isinstance(action, RunAction)
            found.append(action.operation.mounts[0].read_only)
        assert tuple(found) == expected, written


def test_a_script_with_an_interpreter_is_a_file() -> None:
    action = last(planned("FROM x\nRUN <<EOT\n#!/usr/bin/env python\nprint(1)\nEOT\n")).action
    assert isinstance(action, RunAction)
    assert action.operation.arguments == ("/bin/sh", "-c", "/dev/pipes/EOT")
    assert action.operation.files[0].content == b"#!/usr/bin/env python\nprint(1)\n"


def test_a_plan_is_the_same_each_time() -> None:
    """Whatever the order of the request's tables."""
    text = (
        "ARG V=1\nFROM x AS a\nARG A\nARG B=2\nRUN a\nFROM y:$V AS b\nCOPY --from=a / /\nENV E=$A\nLABEL x=1 y=2\n"
        "FROM a\nCOPY --from=b . .\nRUN --mount=from=b,target=/m c\n"
    )
    arguments = {"A": "1", "B": "3", "C": "4", "HTTP_PROXY": "p"}
    first = planned(text, arguments=arguments, labels={"a": "b"})
    for seed in range(20):
        items = list(arguments.items())
        random.Random(seed).shuffle(items)
        assert planned(text, arguments=dict(items), labels={"a": "b"}) == first


def test_every_step_comes_after_its_inputs() -> None:
    for seed in range(30):
        chance = random.Random(seed)
        lines = []
        for stage in range(chance.randint(1, 8)):
            below = chance.choice(["x", "scratch", *(f"s{n}" for n in range(stage))])
            lines.append(f"FROM {below} AS s{stage}")
            for number in range(chance.randint(0, 4)):
                source = chance.randrange(stage) if stage else None
                lines.append(f"COPY --from=s{source} / /{number}" if source is not None else f"RUN {number}")
        graph = planned("\n".join(lines) + "\n")
        seen: set[str] = set()
        for name, step in graph.steps.items():
            assert set(step.inputs) <= seen
            seen.add(name)
        assert graph.target in seen


def test_texts_of_go() -> None:
    assert quoted('a"b\\\n\x01é') == '"a\\"b\\\\\\n\\x01é"'
    assert [duration(value) for value in (0, 5, 1500, 2_500_000, 1_500_000_000, 3_723_000_000_000)] == [
        "0s",
        "5ns",
        "1.5µs",
        "2.5ms",
        "1.5s",
        "1h2m3s",
    ]
    check = ImageHealthCheck(Test=("NONE",))
    assert health_check(check) == 'HEALTHCHECK &{["NONE"] "0s" "0s" "0s" "0s" \'\\x00\'}'
    for retries in (0xD800, 0x110000, 2**31 - 1):  # what is no character
        check = ImageHealthCheck(Test=("NONE",), Retries=retries)
        assert health_check(check).endswith("'\ufffd'}")
