"""What a container is begun with: its command, and variables out of maps, fields, amounts and services."""

import pytest
from conformance_kit import Space

pytestmark = pytest.mark.slow


def printing(name: str, environment: str, *, more: str = "") -> str:
    """A pod that says its variables and ends. No shell: it would keep back names that it cannot use."""
    return f"""
        apiVersion: v1
        kind: Pod
        metadata: {{name: {name}}}
        spec:
          restartPolicy: Never
          {more or "terminationGracePeriodSeconds: 0"}
          containers:
          - {{name: c, image: busybox, imagePullPolicy: IfNotPresent, command: [env], {environment}}}
    """


def variables(text: str) -> dict[str, str]:
    return {name: value for name, _, value in (line.partition("=") for line in text.splitlines())}


# Covers: ConfigMap, from environment field; ConfigMap, from environment variables.
def test_variables_from_a_map(space: Space) -> None:
    space.kubectl("create", "configmap", "words", "--from-literal=data-1=value-1", "--from-literal=data_2=value 2")
    one = "{name: ONE, valueFrom: {configMapKeyRef: {name: words, key: data-1}}}"
    none = "{name: NONE, valueFrom: {configMapKeyRef: {name: words, key: data-9, optional: true}}}"
    all = "[{configMapRef: {name: words}}, {prefix: p-, configMapRef: {name: words}}]"
    found = variables(space.output(printing("reader", f"env: [{one}, {none}], envFrom: {all}")))
    assert (found["ONE"], found["data-1"], found["data_2"]) == ("value-1", "value-1", "value 2")
    assert (found["p-data-1"], found["p-data_2"]) == ("value-1", "value 2")
    assert "NONE" not in found


# Covers: ConfigMap, with empty-key.
def test_no_key_of_a_map_is_empty(space: Space) -> None:
    answer = space.request("POST", "configmaps", {"metadata": {"name": "bad"}, "data": {"": "value"}})
    assert (answer.status, answer.object["reason"]) == (422, "Invalid")
    assert "data[]: Invalid value" in answer.object["message"], answer.object["message"]
    assert space.is_gone("configmaps/bad")


# Covers: ConfigMap lifecycle.
def test_the_life_of_a_map(space: Space) -> None:
    space.made("configmaps", {"metadata": {"name": "kept", "labels": {"kind": "other"}}})
    made = {"metadata": {"name": "test", "labels": {"test-configmap-static": "true"}}, "data": {"valueName": "value"}}
    space.made("configmaps", made)
    change = {"metadata": {"labels": {"test-configmap": "patched"}}, "data": {"valueName": "value1"}}
    space.patched("configmaps/test", change, "application/strategic-merge-patch+json")
    found = space.read("configmaps/test")
    assert found["data"] == {"valueName": "value1"}
    assert found["metadata"]["labels"] == {"test-configmap-static": "true", "test-configmap": "patched"}
    everywhere = space.cluster.get("configmaps", "-A", "-l", "test-configmap-static=true")
    assert [(one["metadata"]["namespace"], one["data"]["valueName"]) for one in everywhere] == [(space.name, "value1")]
    answer = space.request("DELETE", "configmaps?labelSelector=test-configmap-static%3Dtrue")
    assert answer.status == 200, answer.body
    assert space.get("configmaps", "-l", "test-configmap-static=true") == []
    assert not space.is_gone("configmaps/kept")


AMOUNTS = (
    "CPU_LIMIT limits.cpu",
    "MEMORY_LIMIT limits.memory",
    "CPU_REQUEST requests.cpu",
    "MEMORY_REQUEST requests.memory",
)


def amounts(divisor: str = "") -> str:
    shown = f", divisor: {divisor}" if divisor else ""
    texts = (each.split() for each in AMOUNTS)
    return ", ".join(
        f"{{name: {one}, valueFrom: {{resourceFieldRef: {{resource: {two}{shown}}}}}}}" for one, two in texts
    )


# Covers: DownwardAPI, environment for CPU and memory limits and requests;
# DownwardAPI, environment for default CPU and memory limits and requests.
def test_variables_from_amounts(space: Space) -> None:
    given = "resources: {requests: {cpu: 250m, memory: 32Mi}, limits: {cpu: 1250m, memory: 64Mi}}"
    space.apply(printing("given", f"{given}, env: [{amounts()}]"))
    space.apply(printing("none", f"env: [{amounts()}]"))
    space.apply(
        printing(
            "milli",
            f"{given}, env: [{{name: M, valueFrom: {{resourceFieldRef: {{resource: limits.cpu, divisor: 1m}}}}}}]",
        )
    )
    for name in ("given", "none", "milli"):
        space.until_phase(name, "Succeeded")
    found = variables(space.log("given"))
    assert (found["CPU_LIMIT"], found["CPU_REQUEST"]) == ("2", "1")
    assert (found["MEMORY_LIMIT"], found["MEMORY_REQUEST"]) == (str(64 << 20), str(32 << 20))
    assert variables(space.log("milli"))["M"] == "1250"
    node = space.cluster.get("node", space.pod("none")["spec"]["nodeName"])[0]
    allocatable = node["status"]["allocatable"]
    found = variables(space.log("none"))
    assert found["CPU_LIMIT"] == allocatable["cpu"]
    assert found["MEMORY_LIMIT"] == str(int(allocatable["memory"].removesuffix("Ki")) << 10)
    assert (found["CPU_REQUEST"], found["MEMORY_REQUEST"]) == ("0", "0")


# Covers: DownwardAPI, environment for host ip; DownwardAPI, environment for Pod UID;
# DownwardAPI, environment for name, namespace and ip.
@pytest.mark.parametrize("network", ("", "hostNetwork: true"), ids=("own", "host"))
def test_variables_from_fields(space: Space, network: str) -> None:
    paths = {
        "NAME": "metadata.name",
        "NAMESPACE": "metadata.namespace",
        "UID": "metadata.uid",
        "IP": "status.podIP",
        "IPS": "status.podIPs",
        "HOST": "status.hostIP",
        "HOSTS": "status.hostIPs",
        "NODE": "spec.nodeName",
        "ACCOUNT": "spec.serviceAccountName",
        "LABEL": "metadata.labels['team']",
    }
    fields = ", ".join(
        f'{{name: {one}, valueFrom: {{fieldRef: {{fieldPath: "{two}"}}}}}}' for one, two in paths.items()
    )
    text = printing("teller", f"env: [{fields}]", more=network).replace(
        "name: teller", "name: teller, labels: {team: red}"
    )
    found = variables(space.output(text))
    pod = space.pod("teller")
    metadata, status = pod["metadata"], pod["status"]
    assert (found["NAME"], found["NAMESPACE"], found["UID"]) == ("teller", space.name, metadata["uid"])
    assert (found["IP"], found["IPS"]) == (status["podIP"], status["podIP"])
    assert (found["HOST"], found["HOSTS"]) == (status["hostIP"], status["hostIP"])
    assert (found["NODE"], found["ACCOUNT"], found["LABEL"]) == (pod["spec"]["nodeName"], "default", "red")
    assert (found["IP"] == found["HOST"]) == bool(network)


# Covers: Pods, service environment variables.
def test_variables_from_services(space: Space) -> None:
    space.kubectl("create", "service", "clusterip", "fooservice", "--tcp=8765:8080")
    address = space.read("services/fooservice")["spec"]["clusterIP"]
    wanted = {
        "FOOSERVICE_SERVICE_HOST": address,
        "FOOSERVICE_SERVICE_PORT": "8765",
        "FOOSERVICE_PORT": f"tcp://{address}:8765",
        "FOOSERVICE_PORT_8765_TCP_PORT": "8765",
        "FOOSERVICE_PORT_8765_TCP_PROTO": "tcp",
        "FOOSERVICE_PORT_8765_TCP": f"tcp://{address}:8765",
        "FOOSERVICE_PORT_8765_TCP_ADDR": address,
    }
    tries = (f"client{number}" for number in range(100))

    def told() -> bool:
        """What services there are, a node hears a little later than the API's clients."""
        return wanted.items() <= variables(space.output(printing(next(tries), "env: []"))).items()

    space.until(told, "a new pod is told of the service")
    without = variables(space.output(printing("without", "env: []", more="enableServiceLinks: false")))
    assert not wanted.keys() & without.keys()
    assert "KUBERNETES_SERVICE_HOST" in without


# Covers: Containers, without command and arguments; Containers, with arguments; Containers, with command;
# Containers, with command and arguments.
def test_commands_and_arguments(space: Space) -> None:
    for node in space.cluster.nodes:
        node.build("speaker", 'FROM busybox\nENTRYPOINT ["/bin/echo", "entry"]\nCMD ["default", "words"]\n')
    cases = {
        "plain": ("", "entry default words\n"),
        "arguments": (", args: [other, words]", "entry other words\n"),
        "command": (", command: [/bin/echo, mine]", "mine\n"),
        "both": (
            ", command: [/bin/echo, mine], args: [and, $(WHO), $$(WHO), $(NOBODY)]",
            "mine and me $(WHO) $(NOBODY)\n",
        ),
    }
    for name, (words, _) in cases.items():
        space.apply(f"""
            apiVersion: v1
            kind: Pod
            metadata: {{name: {name}}}
            spec:
              restartPolicy: Never
              containers:
              - {{name: c, image: speaker, imagePullPolicy: Never, env: [{{name: WHO, value: me}}]{words}}}
        """)
    for name, (_, said) in cases.items():
        space.until_phase(name, "Succeeded")
        assert space.log(name) == said
