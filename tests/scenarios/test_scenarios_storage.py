"""Volumes, configs, secrets, tmpfs and `cp`."""

import os

from compose_kit import CURRENT, EVERY, LABEL, Project


@EVERY
def test_volumes_in_all_spellings(project: Project) -> None:
    outside = f"{project.name}-outside"
    project.client.volumes.create(outside)
    project.file("from the host\n", "host/file")
    project.file(f"""
        services:
          short:
            image: busybox
            command: sleep 1000
            stop_signal: SIGKILL
            volumes:
              - data:/data
              - ./host:/host:ro
              - {project.folder}/host/file:/one-file
              - outer:/outer
              - named:/named
              - /anonymous
            tmpfs: ["/scratch:size=1m,mode=700", /plain]
          long:
            image: busybox
            command: sleep 1000
            stop_signal: SIGKILL
            volumes:
              - {{type: volume, source: data, target: /data, read_only: true, volume: {{nocopy: true}}}}
              - {{type: bind, source: ./made-for-it, target: /made, bind: {{create_host_path: true}}}}
              - {{type: tmpfs, target: /fast, tmpfs: {{size: 2097152}}}}
              - {{type: volume, target: /nameless}}
          heir:
            image: busybox
            command: sleep 1000
            stop_signal: SIGKILL
            volumes_from: ["short:ro"]
            depends_on: [short]
        volumes:
          data: {{driver: local, labels: {{kind: data}}}}
          outer: {{external: true, name: {outside}}}
          named: {{name: {project.name}-own-name}}
    """)
    if project.program.name == "v1":
        text = (project.folder / "compose.yaml").read_text()
        project.file(text.replace(", bind: {create_host_path: true}", ""))
        project.file("", "made-for-it/.keep")
    project.compose("up", "-d")
    project.inside("short", "echo shared >/data/file")
    assert project.inside("long", "cat /data/file") == "shared"
    assert "Read-only" in project.inside("long", "touch /data/more", check=False)
    assert project.inside("short", "cat /host/file /one-file") == "from the host\nfrom the host"
    assert "Read-only" in project.inside("short", "touch /host/more", check=False)
    assert (project.folder / "made-for-it").is_dir()
    mounts = project.inside("short", "mount")
    assert " /scratch type tmpfs" in mounts and "size=1024k" in mounts and "mode=700" in mounts
    assert "size=2048k" in project.inside("long", "mount | grep ' /fast '")
    assert project.inside("heir", "cat /data/file") == "shared"
    if not project.program.is_v2:  # which forgets ":ro"
        assert "Read-only" in project.inside("heir", "touch /data/more", check=False)
    kinds = {entry["Destination"]: entry["Type"] for entry in project.one("short")["Mounts"]}
    assert kinds.items() >= {"/data": "volume", "/host": "bind", "/anonymous": "volume", "/outer": "volume"}.items()
    data = project.volumes()[f"{project.name}_data"]
    assert data["Labels"]["kind"] == "data" and data["Labels"][f"{LABEL}.volume"] == "data"
    assert {*project.prints("config", "--volumes").split()} == {"data", "outer", "named"}

    project.compose("down", "-v")
    left = {entry["Name"] for entry in project.client.api.volumes()["Volumes"] or []}
    assert outside in left and not left & {f"{project.name}_data", f"{project.name}-own-name"}
    assert project.fails("up", "-d", env={"COMPOSE_FILE": "nowhere.yaml"})
    project.client.volumes.get(outside).remove()
    assert outside in project.fails("up", "-d")


@EVERY
def test_configs_and_secrets_from_files(project: Project) -> None:
    project.file("worker_processes 1;\n", "nginx.conf")
    project.file("hush", "secret.txt")
    project.file("""
        services:
          web:
            image: busybox
            command: sleep 1000
            stop_signal: SIGKILL
            secrets: [hush]
        secrets: {hush: {file: ./secret.txt}}
    """)
    project.compose("up", "-d")
    assert project.inside("web", "cat /run/secrets/hush") == "hush"
    assert "Read-only" in project.inside("web", "echo more >/run/secrets/hush", check=False)


@CURRENT
def test_configs_and_secrets_of_every_source(project: Project) -> None:
    project.file("worker_processes 1;\n", "nginx.conf")
    project.file("hush", "secret.txt")
    project.file("""
        services:
          web:
            image: busybox
            command: sleep 1000
            stop_signal: SIGKILL
            configs:
              - plain
              - {source: file, target: /etc/deep/er/nginx.conf}
              - {source: text, target: /text, mode: 0440, uid: "12", gid: "34"}
              - {source: env, target: /env}
            secrets:
              - hush
              - {source: env, target: token}
              - {source: hush, target: /elsewhere/hush}
        configs:
          plain: {file: ./nginx.conf}
          file: {file: ./nginx.conf}
          text: {content: "host=${HOST_NAME}\\n"}
          env: {environment: CONFIG_TEXT}
        secrets:
          hush: {file: ./secret.txt}
          env: {environment: SECRET_TEXT}
    """)
    given = {"HOST_NAME": "alpha", "CONFIG_TEXT": "of env", "SECRET_TEXT": "classified"}
    project.compose("up", "-d", env=given)
    look = "cat /plain /etc/deep/er/nginx.conf /text /env; for f in hush token; do cat /run/secrets/$f; done"
    assert project.inside("web", look) == "worker_processes 1;\n" * 2 + "host=alpha\nof envhushclassified"
    assert project.inside("web", "cat /elsewhere/hush") == "hush"
    assert project.inside("web", "stat -c '%a %u %g' /text") == "440 12 34"
    assert "classified" not in str(project.one("web")["Config"])
    first = project.id("web")
    project.compose("up", "-d", env=given)
    assert project.id("web") == first
    project.compose("restart", "-t", "0", env=given)
    assert project.inside("web", "cat /text") == "host=alpha"
    project.compose("up", "-d", env=given | {"HOST_NAME": "beta"})
    if project.program.name == "boxship":
        assert project.id("web") != first  # what a config says belongs to what the service is
        assert project.inside("web", "cat /text") == "host=beta"
    assert "SECRET_TEXT" in project.fails("up", "-d", "--force-recreate", env={"HOST_NAME": "x", "CONFIG_TEXT": "y"})


@CURRENT
def test_copies_both_ways(project: Project) -> None:
    project.file("""
        services:
          box: {image: busybox, command: sleep 1000, stop_signal: SIGKILL, scale: 2}
    """)
    project.compose("up", "-d")
    project.file("one\n", "tree/a")
    project.file("two\n", "tree/deep/b")
    project.compose("cp", "tree/a", "box:/tmp/copied")
    assert [project.inside("box", "cat /tmp/copied", number=which, check=False) for which in (1, 2)] == ["one", "one"]
    project.compose("cp", "--index", "2", "tree", "box:/tmp")
    assert project.inside("box", "cat /tmp/tree/deep/b", number=2) == "two"
    assert project.inside("box", "ls /tmp/tree", check=False).startswith("ls:")
    project.inside("box", "mkdir /out; echo back >/out/file; ln -s file /out/link; chown 12:34 /out/file")
    project.compose("cp", "--index", "1", "box:/out", "fetched")
    assert (project.folder / "fetched/file").read_text() == "back\n"
    assert os.readlink(project.folder / "fetched/link") == "file"
    project.compose("cp", "-L", "--index", "1", "box:/out/link", "followed")
    assert (project.folder / "followed").read_text() == "back\n"
    os.chown(project.folder / "followed", 12, 34)
    project.compose("cp", "-a", "--index", "1", "followed", "box:/tmp/with-owner")
    assert project.inside("box", "stat -c '%u %g' /tmp/with-owner") == "12 34"
    streamed = project.compose("cp", "--index", "1", "box:/out/file", "-")
    assert "back\n" in streamed.stdout
    project.compose("stop")
    project.compose("cp", "--index", "1", "tree/a", "box:/while-stopped")
    project.compose("cp", "--index", "1", "box:/while-stopped", "again")
    assert (project.folder / "again").read_text() == "one\n"
    project.fails("cp", "box:/nowhere", "x")
    project.fails("cp", "nowhere", "box:/x")
