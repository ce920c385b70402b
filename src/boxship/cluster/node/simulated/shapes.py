"""Pods of many shapes for the simulation, by chance."""

import random

from boxship.cluster.objects import Object

IMAGES = ("one:1", "two:2", "three:3")


def random_pod(chance: random.Random, name: str, node: str) -> Object:
    policy = chance.choice(("Always", "Always", "OnFailure", "Never"))
    init = [_init(chance, f"i{number}", policy) for number in range(chance.choice((0, 0, 1, 2)))]
    main = [_main(chance, f"c{number}", policy) for number in range(chance.choice((1, 1, 2, 3)))]
    spec: Object = {
        "nodeName": node,
        "restartPolicy": policy,
        "terminationGracePeriodSeconds": chance.choice((1, 5, 30)),
        "containers": main,
    }
    if init:
        spec["initContainers"] = init
    if chance.random() < 0.1:
        spec["activeDeadlineSeconds"] = chance.randrange(5, 60)
    if chance.random() < 0.2:
        spec["readinessGates"] = [{"conditionType": "example.com/gate"}]
    if chance.random() < 0.3:
        spec["volumes"] = [{"name": "v", "configMap": {"name": "there"}}]
    metadata: Object = {"name": name}
    if chance.random() < 0.2:
        metadata["finalizers"] = ["example.com/hold"]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def _init(chance: random.Random, name: str, policy: str) -> Object:
    if chance.random() < 0.4:
        found = _with_probes(chance, {"name": name, "image": chance.choice(IMAGES), "restartPolicy": "Always"})
        found["command"] = chance.choice((["run"], ["run"], ["deaf"], ["sleep", "30"]))
        return found
    scripts = [["sleep", "1"], ["sleep", "0"], ["exit", "0"], ["sleep", "5"]]
    if policy != "Always":
        scripts.append(["exit", "2"])
    return {"name": name, "image": chance.choice(IMAGES), "command": chance.choice(scripts)}


def _main(chance: random.Random, name: str, policy: str) -> Object:
    scripts = [["run"], ["run"], ["sleep", "10"], ["exit", "1"], ["exit", "0", "3"], ["deaf"]]
    found: Object = {"name": name, "image": chance.choice(IMAGES), "command": chance.choice(scripts)}
    if chance.random() < 0.15:
        found["restartPolicy"] = "Never"
        action = chance.choice(("Restart", "RestartAllContainers"))
        found["restartPolicyRules"] = [{"action": action, "exitCodes": {"operator": "In", "values": [1]}}]
    return _with_probes(chance, found)


def _with_probes(chance: random.Random, container: Object) -> Object:
    for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
        if chance.random() < 0.25:
            container[kind] = {
                "exec": {"command": [kind]},
                "periodSeconds": chance.choice((1, 5)),
                "failureThreshold": chance.choice((1, 3)),
                "successThreshold": 1,
                "timeoutSeconds": 1,
            }
    if chance.random() < 0.2:
        hook = chance.choice(("preStop", "postStart"))
        container["lifecycle"] = {hook: {"exec": {"command": ["hook"]}}}
    return container
