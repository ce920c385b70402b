"""Whatever a Dockerfile says, planning and checking it give a graph and findings, or an error that places itself."""

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from boxship.builder.dockerfile.checks import check
from boxship.builder.dockerfile.instructions import FLAGS, KEYWORDS
from boxship.builder.dockerfile.parse import parse
from boxship.builder.dockerfile.problems import DockerfileError
from boxship.builder.graph import Graph, ImageSource
from boxship.builder.model import BuildRequest
from boxship.builder.operations import FolderTree
from boxship.builder.planner import Base, missing_bases, plan
from boxship.builder.stages import Failure
from boxship.errors import BoxshipError
from boxship.spec.image import ExecutionConfig, Platform

word = st.text(alphabet="ab/.:@$@{}-+%#*?[]\\'\"=,09 é\t", max_size=8)
sense = st.sampled_from(
    [
        "a",
        "/x",
        ".",
        "..",
        "$A",
        "${A:-b}",
        "${A/a/b}",
        "80",
        "80/tcp",
        "1-3",
        "SIGTERM",
        "a:b",
        "1:2",
        "sha256:00",
        "b/c",
        "http://a.example/x",
        "https://a.example/r.git#v1:d",
        "type=cache,target=/x",
        "type=bind,from=b,target=$A",
        "*",
        "<<E",
        "type=secret,id=s,env=S",
        "type=tmpfs,target=/t,size=1m",
        "linux/amd64",
        "$TARGETPLATFORM",
        "u=rwX",
        "0755",
        "-1",
        '["a", "b"]',
        "[]",
        '[""]',
        "A=b",
        "A",
        "=",
        "NONE",
        "CMD x",
        "RUN x",
        "s0",
        "0",
        "7",
        "true",
        "as",
        "scratch",
    ]
)
flag = st.sampled_from([f"--{name}" for known in FLAGS.values() for name in known])
given_flag = st.builds("{}={}".format, flag, st.one_of(sense, word))
line = st.builds(
    lambda keyword, flags, words: " ".join([keyword, *flags, *words]),
    st.sampled_from(sorted(KEYWORDS)),
    st.lists(given_flag, max_size=2),
    st.lists(st.one_of(sense, sense, word), max_size=4),
)


def is_read(text: str) -> bool:
    """Whether the parser takes the line: most random ones it does not, and then there is nothing to plan."""
    try:
        parse("FROM a\n" + text)
    except DockerfileError:
        return False
    return True


HOST = Platform("amd64", "linux")
REQUEST = BuildRequest(context=FolderTree(Path("/nowhere")), arguments={"A": "x", "B": None})


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(st.lists(line.filter(is_read), max_size=4), st.sampled_from(["", "s0", "0", "nowhere"]))
def test_any_file_gives_a_graph_or_a_placed_error(lines: list[str], target: str) -> None:
    text = "\n".join(["ARG A=1", "FROM scratch AS s0", *lines, "FROM s0", *lines])
    try:
        dockerfile = parse(text)
    except DockerfileError:
        return
    findings = check(dockerfile, build_arguments=REQUEST.arguments, ignored=lambda path: "a" in path, environments={})
    assert all(1 <= finding.location.first <= len(dockerfile.lines) for finding in findings)
    request = BuildRequest(context=REQUEST.context, arguments=REQUEST.arguments, target=target)
    try:
        known: dict[ImageSource, Base] = {}
        while missing := missing_bases(dockerfile, request, HOST, known):
            known |= dict.fromkeys(missing, Base(config=ExecutionConfig(OnBuild=("RUN x", "ARG y"))))
        graph = plan(dockerfile, request, HOST, known)
    except Failure as failure:
        assert failure.instruction.location.first <= len(dockerfile.lines)
        assert str(failure.reason)
    except BoxshipError as error:
        assert str(error)
    else:
        assert isinstance(graph, Graph)
        assert graph.target in graph.steps
        assert all(name in graph.steps for step in graph.steps.values() for name in step.inputs)
