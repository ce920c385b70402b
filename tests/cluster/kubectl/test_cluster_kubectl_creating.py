"""kubectl create with each of its generators, run, expose, autoscale; and what is refused."""

import pytest
from kubectl_kit import Kubectl

MADE = [
    ("configmap c --from-literal=a=b", "configmap/c"),
    ("secret generic s --from-literal=a=b --type=Opaque", "secret/s"),
    ("secret docker-registry d --docker-server=r.example --docker-username=u --docker-password=p", "secret/d"),
    ("deployment w --image=nginx --replicas=2 --port=80", "deployment.apps/w"),
    ("service clusterip sc --tcp=80:8080", "service/sc"),
    ("service clusterip sh --clusterip=None", "service/sh"),
    ("service nodeport sn --tcp=80:8080", "service/sn"),
    ("service loadbalancer sl --tcp=80", "service/sl"),
    ("service externalname se --external-name=a.example", "service/se"),
    ("job j --image=busybox -- date", "job.batch/j"),
    ("cronjob cj --image=busybox --schedule='*/5 * * * *' -- date", "cronjob.batch/cj"),
    ("job j2 --from=cronjob/cj", "job.batch/j2"),
    ("ingress i --rule=a.example/x=sc:80,tls=s --default-backend=sc:80", "ingress.networking.k8s.io/i"),
    ("role r --verb=get,list --resource=pods,deployments.apps --resource-name=x", "role.rbac.authorization.k8s.io/r"),
    (
        "rolebinding rb --role=r --user=u --group=g --serviceaccount=x:d",
        "rolebinding.rbac.authorization.k8s.io/rb",
    ),
    ("quota q --hard=pods=100,requests.cpu=50 --scopes=NotBestEffort", "resourcequota/q"),
    ("poddisruptionbudget b --selector=app=w --min-available=50%", "poddisruptionbudget.policy/b"),
    ("serviceaccount a", "serviceaccount/a"),
]


def test_every_generator(k: Kubectl) -> None:
    for words, name in MADE:
        assert k(f"create {words}") == f"{name} created\n"
        assert k(f"get {name} -o name") == f"{name}\n"
    assert k.json("get service sc")["spec"]["clusterIP"].startswith("10.96.")
    assert k.json("get service sh")["spec"]["clusterIP"] == "None"
    assert 30000 <= k.json("get service sn")["spec"]["ports"][0]["nodePort"] <= 32767
    assert k.json("get job j2")["metadata"]["ownerReferences"][0]["name"] == "cj"
    assert k.json("get role r")["rules"][0]["apiGroups"] == [""]
    assert k("create token a --duration=1h").count(".") == 2
    assert k("create token a --audience=x --bound-object-kind=Secret --bound-object-name=s").count(".") == 2


def test_what_lies_in_the_cluster(k: Kubectl) -> None:
    word = k.namespace
    made = [
        (f"namespace {word}-more", f"namespace/{word}-more"),
        (f"clusterrole {word} --verb=get --non-resource-url=/x/*", f"clusterrole.rbac.authorization.k8s.io/{word}"),
        (
            f"clusterrolebinding {word} --clusterrole={word} --user=u",
            f"clusterrolebinding.rbac.authorization.k8s.io/{word}",
        ),
        (f"priorityclass {word} --value=7 --description=x", f"priorityclass.scheduling.k8s.io/{word}"),
    ]
    for words, name in made:
        assert k(f"create {words}") == f"{name} created\n"
        assert k(f"delete {name} --wait=false").startswith(name.split("/")[0])
    aggregated = f"clusterrole {word}-a --aggregation-rule=rbac.example/x=true"
    assert k(f"create {aggregated}").endswith("created\n")


def test_dry_runs_make_nothing(k: Kubectl) -> None:
    text = k("create deployment w --image=nginx --dry-run=client -o yaml")
    assert "replicas: 1" in text and "uid" not in text
    made = k.json("create deployment w --image=nginx --dry-run=server")
    assert made["metadata"]["uid"] and made["spec"]["revisionHistoryLimit"] == 10
    assert k("create -f - --dry-run=server", text) == "deployment.apps/w created (server dry run)\n"
    assert k("apply -f - --dry-run=server", text) == "deployment.apps/w created (server dry run)\n"
    assert k("get deployments -o name") == ""
    k("create -f - --save-config", text)
    assert k("apply -f - --dry-run=server", text.replace("replicas: 1", "replicas: 2")).endswith("(server dry run)\n")
    assert k("get deployment w -o jsonpath={.spec.replicas}") == "1"
    assert k("delete deployment w --dry-run=server") == 'deployment.apps "w" deleted (server dry run)\n'
    assert k("get deployments -o name") == "deployment.apps/w\n"


def test_pods_are_run(k: Kubectl) -> None:
    assert k("run p --image=nginx --port=80 --env=A=b --labels=x=y --expose") == "service/p created\npod/p created\n"
    pod = k.json("get pod p")
    assert pod["spec"]["containers"][0]["env"] == [{"name": "A", "value": "b"}]
    assert pod["spec"]["serviceAccountName"] == "default" and pod["status"]["phase"] == "Pending"
    assert pod["status"]["qosClass"] == "BestEffort"
    assert pod["spec"]["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"]["path"] == "token"
    overrides = '{"spec":{"nodeSelector":{"a":"b"}}}'
    k(f"run q --image=nginx --restart=Never --overrides='{overrides}' --command -- sleep 1")
    assert k.json("get pod q")["spec"]["nodeSelector"] == {"a": "b"}
    assert k("logs p") == ""  # nothing runs yet, and nothing is wrong with that
    for words in ("exec p -- date", "attach p", "port-forward p 8080:80", "cp p:/x /tmp/x"):
        assert "error" in k.fails(words).lower(), words
    k("debug p --image=busybox --container=look --profile=general")
    assert k.json("get pod p")["spec"]["ephemeralContainers"][0]["name"] == "look"


def test_expose_and_autoscale(k: Kubectl) -> None:
    k("create deployment w --image=nginx --port=80")
    assert k("expose deployment w --port=80 --type=NodePort --name=out") == "service/out exposed\n"
    assert k("expose service out --port=81 --name=again --session-affinity=ClientIP") == "service/again exposed\n"
    assert k.json("get service again")["spec"]["sessionAffinityConfig"]["clientIP"]["timeoutSeconds"] == 10800
    assert k("autoscale deployment w --min=2 --max=5 --cpu-percent=80").endswith("autoscaled\n")
    assert k.json("get hpa w")["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] == 80
    assert k.json("get horizontalpodautoscalers.v1.autoscaling w")["spec"]["targetCPUUtilizationPercentage"] == 80


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("create namespace Wrong_Name", 'metadata.name: Invalid value: "Wrong_Name": a lowercase RFC 1123 label must'),
        ("create deployment w --image=nginx --port=99999", "must be between 1 and 65535"),
        ("create quota q --hard=nothing=x", "quantities must match the regular expression"),
        ("create service nodeport s --tcp=80 --node-port=80", "provided port is not in the valid range"),
        ("create cronjob c --image=x --schedule=often", "spec.schedule: Invalid value"),
        ("create serviceaccount default", 'serviceaccounts "default" already exists'),
        ("create ingress i --rule=a.example/x=", "rule a.example/x= is invalid"),
        ("create token none", 'serviceaccounts "none" not found'),
        ("create configmap c --from-literal=a/b=c", "is not a valid key name for a ConfigMap"),
        ("run p", "required flag(s)"),
    ],
)
def test_what_is_refused(k: Kubectl, words: str, said: str) -> None:
    assert said in k.fails(words)


def test_misspelt_fields_are_named(k: Kubectl) -> None:
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, labls: {a: b}}\ndta: {a: b}"
    said = k.fails("create -f -", text)
    assert 'strict decoding error: unknown field "dta"' in said and 'unknown field "metadata.labls"' in said
    assert 'did you mean "data"' in said
    warned = k.heard("create -f - --validate=warn", text)
    assert 'Warning: unknown field "dta"' in warned and "configmap/x created" in warned
    assert k.heard("create -f - --validate=false", text.replace("name: x", "name: x2")) == "configmap/x2 created\n"
