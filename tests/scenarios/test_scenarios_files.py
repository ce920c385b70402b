"""How a project's files are found, merged, extended, included and filled in; and that a wrong one touches nothing."""

import json

from compose_kit import CURRENT, EVERY, OURS, Project


@EVERY
def test_several_files_and_environments(project: Project) -> None:
    project.file("""
        x-quick: &quick {image: busybox, stop_signal: SIGKILL}
        services:
          web:
            <<: *quick
            command: sleep 1000
            environment: {A: base, B: base, TAG: "${TAG:-none}", LEVEL: "${LEVEL-unset}"}
            labels: {level: base}
    """, "docker-compose.yml")  # fmt: skip
    project.file("""
        services:
          web: {environment: {B: override}, labels: {more: "1"}}
          extra: {image: busybox, command: sleep 1000, stop_signal: SIGKILL}
    """, "docker-compose.override.yml")  # fmt: skip
    project.file("services: {web: {environment: {B: third}, command: sleep 2000}}", "third.yml")
    project.file("TAG=from-dot-env\nLEVEL=\n# words\n", ".env")
    project.file("TAG=other\n", "other.env")
    project.compose("up", "-d")
    assert project.states() == {"extra1": "running", "web1": "running"}
    web = project.one("web")["Config"]
    assert {"A=base", "B=override", "TAG=from-dot-env", "LEVEL="} <= set(web["Env"])
    assert web["Labels"].items() >= {"level": "base", "more": "1"}.items()
    project.compose("-f", "docker-compose.yml", "-f", "third.yml", "--env-file", "other.env", "up", "-d", "web")
    web = project.one("web")["Config"]
    assert {"B=third", "TAG=other"} <= set(web["Env"]) and web["Cmd"] == ["sleep", "2000"]
    files = f"{project.folder}/docker-compose.yml,{project.folder}/third.yml"
    assert web["Labels"]["com.docker.compose.project.config_files"] in (files, "docker-compose.yml,third.yml")
    given = {"COMPOSE_FILE": "docker-compose.yml:third.yml", "TAG": "shell"}
    assert "TAG: shell" in project.prints("config", env=given) and "third" in project.prints("config", env=given)
    assert project.prints("-f", "-", "config", "--services", data="services: {only: {image: busybox}}").split() == [
        "only"
    ]
    inner = project.folder / "inner"
    inner.mkdir()
    assert project.prints("ps", "-q", folder=inner).split()  # the file of a folder above
    assert project.prints("-p", f"{project.name}else", "ps", "-q").split() == []
    assert "from-dot-env" in project.prints("--project-directory", str(project.folder), "config", folder=inner)


@EVERY
def test_extends(project: Project) -> None:
    project.file("""
        services:
          base:
            image: busybox
            command: sleep 1000
            stop_signal: SIGKILL
            environment: {FROM: base, KEPT: "yes"}
            env_file: local.env
    """, "parts/common.yml")  # fmt: skip
    project.file("FILE=parts\n", "parts/local.env")
    project.file("""
        services:
          web: {extends: {file: parts/common.yml, service: base}, environment: {FROM: web}}
          more: {extends: {service: web}, labels: {own: "1"}}
    """)
    project.compose("up", "-d")
    for name in ("web", "more"):
        assert {"FROM=web", "KEPT=yes", "FILE=parts"} <= set(project.one(name)["Config"]["Env"])
    assert project.one("more")["Config"]["Labels"]["own"] == "1"


@CURRENT
def test_includes_resets_and_names(project: Project) -> None:
    project.file("""
        services:
          inner:
            image: busybox
            command: sleep 1000
            stop_signal: SIGKILL
            environment: {WORD: "${WORD}"}
            volumes: ["./here:/here"]
    """, "part/compose.yaml")  # fmt: skip
    project.file("WORD=of the part\n", "part/.env")
    project.file("for the part\n", "part/here/file")
    project.file(f"""
        name: {project.name}
        include: [part/compose.yaml]
        services:
          outer:
            image: busybox
            command: sleep 1000
            stop_signal: SIGKILL
            depends_on: [inner]
            ports: ["80"]
            environment: {{A: a, B: b}}
            dns: [10.1.1.1]
    """)
    project.file("""
        services:
          outer:
            ports: !reset []
            environment: !override {C: c}
            dns: [10.2.2.2]
    """, "more.yaml")  # fmt: skip
    project.compose("-f", "compose.yaml", "-f", "more.yaml", "up", "-d")
    assert project.inside("inner", "cat /here/file; echo $WORD") == "for the part\nof the part"
    outer = project.one("outer")
    assert not outer["NetworkSettings"]["Ports"]
    assert "C=c" in outer["Config"]["Env"] and "A=a" not in outer["Config"]["Env"]
    assert sorted(outer["HostConfig"]["Dns"]) == ["10.1.1.1", "10.2.2.2"]


@CURRENT
def test_what_config_prints(project: Project) -> None:
    project.file("""
        name: ${NAME_OF_IT}
        services:
          a: {image: "busybox:${TAG:-latest}", ports: ["8080:80"], volumes: ["data:/data"], profiles: [more]}
          b:
            image: busybox
            command: echo $$HOME
            environment: ["A=${TAG:-1}", "B=${NAME_OF_IT:+given}", "C=${A:-${B-in}ner}"]
        volumes: {data: }
    """)
    given = {"NAME_OF_IT": project.name}
    shown = json.loads(project.prints("--profile", "more", "config", "--format", "json", env=given))
    assert shown["name"] == project.name and set(shown["services"]) == {"a", "b"}
    assert shown["services"]["b"]["environment"] == {"A": "1", "B": "given", "C": "inner"}
    assert shown["services"]["b"]["command"] == ["echo", "$$HOME"]
    assert shown["services"]["a"]["ports"] == [
        {"mode": "ingress", "target": 80, "published": "8080", "protocol": "tcp"}
    ]
    assert shown["volumes"] == {"data": {"name": f"{project.name}_data"}}
    assert {*project.prints("--profile", "*", "config", "--images", env=given).split()} == {"busybox", "busybox:latest"}
    assert project.prints("config", "--profiles", env=given).split() == ["more"]
    assert "${TAG:-latest}" in project.prints("--profile", "more", "config", "--no-interpolate", env=given)
    assert project.prints("config", "-q", env=given) == ""
    project.compose("config", "-o", "out.yaml", env=given)
    assert "services:" in (project.folder / "out.yaml").read_text()
    first = project.prints("config", "--hash", "b", env=given)
    assert first == project.prints("config", "--hash", "b", env=given)


WRONG = {
    "syntax": ("services:\n  a: {image: busybox\n", ""),
    "unknown": ("services: {a: {image: busybox, comand: x}}", "comand"),
    "type": ("services: {a: {image: busybox, ports: 80}}", "ports"),
    "cycle": ("services: {a: {image: i, depends_on: [b]}, b: {image: i, depends_on: [a]}}", "a"),
    "dependency": ("services: {a: {image: i, depends_on: [gone]}}", "gone"),
    "volume": ("services: {a: {image: i, volumes: ['gone:/x']}}", "gone"),
    "variable": ("services: {a: {image: 'i:${GONE:?say it}'}}", "say it"),
    "env_file": ("services: {a: {image: i, env_file: gone.env}}", "gone.env"),
    "extends": ("services: {a: {extends: {service: gone}}}", "gone"),
    "image": ("services: {a: {command: x}}", "a"),
}


@EVERY
def test_wrong_files_touch_nothing(project: Project) -> None:
    project.file("services: {kept: {image: busybox, command: sleep 1000, stop_signal: SIGKILL}}")
    project.compose("up", "-d")
    kept = project.id("kept")
    for name, (text, word) in WRONG.items():
        project.file(text)
        if name == "type" and project.program.name == "v2":
            continue  # takes one port for a list
        assert word in project.fails("up", "-d", "--remove-orphans"), name
    assert project.id("kept") == kept and len(project.containers()) == 1
    (project.folder / "compose.yaml").unlink()
    text = project.fails("up", "-d").lower()
    assert "no configuration file" in text or "can't find a suitable" in text or "compose.yaml" in text


@OURS
def test_hooks(project: Project) -> None:
    project.file("""
        services:
          web:
            image: busybox
            command: sh -c "trap 'cat /tmp/* ; exit 0' TERM; while :; do sleep 0.05; done"
            user: "1000"
            post_start: [{command: "sh -c 'id -u >/tmp/after-start'", user: root}]
            pre_stop: [{command: ["sh", "-c", "echo $$WORD >/tmp/before-stop"], environment: [WORD=bye]}]
    """)
    project.compose("up", "-d")
    assert project.inside("web", "cat /tmp/after-start") == "0"
    project.compose("stop")
    assert "bye" in project.log("web")
