"""What every kubectl has to do, from 1.20 to the newest: the everyday verbs, one after another on the same objects."""

from kubectl_kit import Kubectl, rows

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: nginx, image: "nginx:1", ports: [{containerPort: 80}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {a: "1", b: "two"}
"""


def test_objects_are_applied_read_changed_and_deleted(every: Kubectl) -> None:
    k = every
    assert k("apply -f -", DEPLOYMENT) == "deployment.apps/web created\nconfigmap/settings created\n"
    assert k("apply -f -", DEPLOYMENT) == "deployment.apps/web unchanged\nconfigmap/settings unchanged\n"
    changed = DEPLOYMENT.replace("replicas: 2", "replicas: 3").replace("two", "three")
    assert k("apply -f -", changed) == "deployment.apps/web configured\nconfigmap/settings configured\n"
    found = k.json("get deployment web")
    assert found["spec"]["replicas"] == 3 and found["spec"]["strategy"]["type"] == "RollingUpdate"
    assert found["metadata"]["generation"] == 2
    assert k("get configmap settings -o jsonpath={.data.b}") == "three"
    assert rows(k("get configmaps settings"))[0][:2] == ["settings", "2"]
    assert rows(k("get deployments -o wide"))[0][-3:] == ["nginx", "nginx:1", "app=web"]
    assert k("get deploy,cm -o name --field-selector metadata.name!=kube-root-ca.crt").split() == [
        "deployment.apps/web",
        "configmap/settings",
    ]
    assert k("scale deployment web --replicas=5") == "deployment.apps/web scaled\n"
    assert k("label deployment web tier=front") == "deployment.apps/web labeled\n"
    assert k("annotate deployment web note=x") == "deployment.apps/web annotated\n"
    assert k("set image deployment/web nginx=nginx:2") == "deployment.apps/web image updated\n"
    assert k("""patch cm settings --type=merge -p '{"data":{"a":null,"c":"3"}}'""") == "configmap/settings patched\n"
    assert k("get cm settings -o go-template='{{.data}}'") == "map[b:three c:3]"
    found = k.json("get deployment -l tier=front")["items"][0]
    assert found["spec"]["replicas"] == 5
    assert found["spec"]["template"]["spec"]["containers"][0]["image"] == "nginx:2"
    assert "Pod Template:" in k("describe deployment web") and "Replicas:" in k("describe deployment web")
    assert k("rollout pause deployment/web") == "deployment.apps/web paused\n"
    assert k("rollout resume deployment/web") == "deployment.apps/web resumed\n"
    assert k("rollout restart deployment/web") == "deployment.apps/web restarted\n"
    assert k("expose deployment web --port=80 --target-port=8080") == "service/web exposed\n"
    assert rows(k("get service web"))[0][4] == "80/TCP"
    assert k("delete -f - --wait=false", DEPLOYMENT).count("deleted") == 2
    assert "not found" in k.fails("get deployment web")


def test_objects_are_created_and_replaced(every: Kubectl) -> None:
    k = every
    assert k("create configmap one --from-literal=a=b") == "configmap/one created\n"
    assert "already exists" in k.fails("create configmap one --from-literal=a=b")
    text = k("get configmap one -o yaml")
    assert k("replace -f -", text.replace("a: b", "a: c")) == "configmap/one replaced\n"
    refused = k.fails("replace -f -", text.replace("a: b", "a: d"))
    assert "the object has been modified; please apply your changes to the latest version" in refused
    assert k("run probe --image=busybox --restart=Never -- sleep 5") == "pod/probe created\n"
    assert rows(k("get pods"))[0][:3] == ["probe", "0/1", "Pending"]
    assert "Image:      busybox" in k("describe pod probe")
    assert k("delete pod probe --now").startswith('pod "probe" ')
    assert k("get pods -o name") == ""
    assert k("create secret generic hidden --from-literal=key=value") == "secret/hidden created\n"
    assert k("get secret hidden -o jsonpath={.data.key}") == "dmFsdWU="
    assert k("create service clusterip front --tcp=80:8080") == "service/front created\n"
    assert k("create job once --image=busybox -- date") == "job.batch/once created\n"
    assert k("create role reader --verb=get --resource=pods") == "role.rbac.authorization.k8s.io/reader created\n"
    assert k("create rolebinding readers --role=reader --user=bob").endswith("created\n")
    assert k("auth can-i get pods --as bob") == "yes\n"
    assert k.run("auth can-i delete pods --as bob").stdout.startswith("no")
    assert k("delete service,job,role,rolebinding,secret,cm --all").count("deleted") >= 6


def test_the_cluster_shows_what_it_has(every: Kubectl) -> None:
    k = every
    lines = k("api-resources --namespaced=true -o wide").splitlines()
    assert any(line.startswith("deployments") and "deploy" in line and "apps/v1" in line for line in lines)
    assert {"v1", "apps/v1", "batch/v1", "autoscaling/v2"} <= set(k("api-versions").split())
    assert "VERSION:" in k("explain deployment.spec.strategy") and "rollingUpdate" in k("explain deploy.spec.strategy")
    assert "Server Version" in k("version") and "is running at" in k("cluster-info")
    assert {"default", "kube-system"} <= {row[0] for row in rows(k("get namespaces"))}
    assert k("get --raw /readyz") == "ok"
    assert "unknown field" in k.fails(
        "create --validate=true -f -", '{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"x"},"dat":{}}'
    )
