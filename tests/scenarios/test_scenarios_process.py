"""What a service's process is given: user, rights, limits, devices, environment, labels; each seen from inside."""

from compose_kit import CURRENT, EVERY, Project


@EVERY
def test_how_a_process_runs(project: Project) -> None:
    project.file('# words\nFROM_FILE=one\nQUOTED="two words"\nOVER=file\n', "web.env")
    project.file("""
        services:
          main:
            image: busybox
            container_name: ${NAME_OF_IT}
            entrypoint: ["sh", "-c"]
            command: ["exec sleep 1000"]
            stop_signal: SIGKILL
            working_dir: /tmp
            user: "1000:50"
            group_add: ["77"]
            read_only: true
            tty: true
            stdin_open: true
            privileged: false
            cap_drop: [ALL]
            cap_add: [NET_RAW]
            security_opt: ["no-new-privileges:true"]
            env_file: web.env
            environment: {OVER: here, PASSED: , EMPTY: ""}
            labels: {plain: "yes", number: 5}
            ulimits: {nofile: {soft: 100, hard: 200}, nproc: 300}
            sysctls: {net.ipv4.ip_unprivileged_port_start: 5}
            devices: ["/dev/null:/dev/nothing:rwm"]
            shm_size: 2m
            mem_limit: 64m
            mem_reservation: 32m
            cpus: 0.5
            cpu_shares: 512
            cpuset: "0"
            pids_limit: 50
            oom_score_adj: 100
            init: true
            ipc: private
            logging: {driver: json-file, options: {max-size: 1m, max-file: "2"}}
          whole: {image: busybox, command: sleep 1000, stop_signal: SIGKILL, privileged: true, pid: host, ipc: host}
          userns: {image: busybox, command: sleep 1000, stop_signal: SIGKILL, cgroup_parent: "/boxship-test", uts: host}
    """)
    if project.program.name == "v1":  # which does not know one of the fields
        project.file((project.folder / "compose.yaml").read_text().replace(", uts: host", ""))
    project.compose("up", "-d", "main", "whole", env={"NAME_OF_IT": f"{project.name}-given", "PASSED": "on"})
    main = project.one("main")
    assert main["Name"] == f"/{project.name}-given"
    script = "id; pwd; echo; ulimit -Sn; ulimit -Hn; echo $OVER $FROM_FILE $QUOTED $PASSED"
    lines = project.inside("main", script).splitlines()
    assert lines[0].startswith("uid=1000") and "gid=50" in lines[0] and "77" in lines[0]
    assert lines[1] == "/tmp"
    assert "sleep 1000" in project.inside("main", "ps -o args")
    assert lines[3:6] == ["100", "200", "here one two words on"]
    assert "EMPTY=" in main["Config"]["Env"]
    assert main["Config"]["Labels"]["number"] == "5"
    assert "Read-only" in project.inside("main", "touch /file", check=False)
    assert project.inside("main", "cat /proc/sys/net/ipv4/ip_unprivileged_port_start") == "5"
    assert "1, " in project.inside("main", "ls -lL /dev/nothing")
    assert "size=2048k" in project.inside("main", "mount | grep /dev/shm")
    status = project.inside("main", "grep -E '^(CapBnd|NoNewPrivs)' /proc/self/status").split()
    assert status == ["CapBnd:", f"{1 << 13:016x}", "NoNewPrivs:", "1"]
    host = main["HostConfig"]
    expected = {
        "Memory": 64 << 20, "MemoryReservation": 32 << 20, "NanoCpus": 500_000_000, "CpuShares": 512,
        "CpusetCpus": "0", "PidsLimit": 50, "OomScoreAdj": 100, "Init": True, "ShmSize": 2 << 20,
    }  # fmt: skip
    assert {name: host[name] for name in expected} == expected
    assert host["LogConfig"] == {"Type": "json-file", "Config": {"max-size": "1m", "max-file": "2"}}
    assert (main["Config"]["Tty"], main["Config"]["OpenStdin"]) == (True, True)
    whole = project.one("whole")["HostConfig"]
    assert (whole["Privileged"], whole["PidMode"], whole["IpcMode"]) == (True, "host", "host")


@CURRENT
def test_deploy_and_newer_fields(project: Project) -> None:
    project.file(
        """
        services:
          main:
            image: busybox
            command: sleep 1000
            stop_signal: SIGKILL
            annotations: {note: text}
            cgroup: private
            device_cgroup_rules: ["c 1:3 rw"]
            platform: linux/amd64
            uts: host
            deploy:
              replicas: 2
              labels: {of: deploy}
              resources:
                limits: {cpus: "0.25", memory: 32M, pids: 40}
                reservations: {memory: 16M}
              restart_policy: {condition: on-failure, max_attempts: 3}
            env_file:
              - {path: ./missing.env, required: false}
              - ./there.env
            label_file: []
    """.replace("            label_file: []\n", "")
    )
    project.file("GIVEN=${WHAT:-default}\nPLAIN='${WHAT}'\n", "there.env")
    project.compose("up", "-d")
    both = project.containers("main")
    assert len(both) == 2
    host = both[0]["HostConfig"]
    assert (host["NanoCpus"], host["Memory"], host["PidsLimit"]) == (250_000_000, 32 << 20, 40)
    assert host["MemoryReservation"] == 16 << 20
    assert host["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 3}
    assert (host["CgroupnsMode"], host["UTSMode"], host["DeviceCgroupRules"]) == ("private", "host", ["c 1:3 rw"])
    assert host["Annotations"] == {"note": "text"}
    assert "GIVEN=default" in both[0]["Config"]["Env"] and "PLAIN=${WHAT}" in both[0]["Config"]["Env"]
