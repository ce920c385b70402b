"""The same rules once more, node by node in plain loops over the objects, slow and simple: what the scheduler is held
to. Written after the documentation, without the scheduler's own parts."""

import math
from typing import Any

Object = dict[str, Any]
REQUIRED, PREFERRED = (
    "requiredDuringSchedulingIgnoredDuringExecution",
    "preferredDuringSchedulingIgnoredDuringExecution",
)
UNITS = {"m": 1, "Mi": 1 << 20, "Gi": 1 << 30}


def amount(resource: str, text: str) -> int:
    number = text.rstrip("mGi" if "i" in text or "m" in text else "").rstrip("M")
    if resource == "cpu":
        return int(number) if text.endswith("m") else int(number) * 1000
    return int(number) * UNITS.get(text[len(number) :], 1)


def requests(pod: Object) -> dict[str, int]:
    found: dict[str, int] = {}
    for container in pod["spec"]["containers"]:
        for key, text in container["resources"]["requests"].items():
            found[key] = found.get(key, 0) + amount(key, text)
    return found


def scoring(pod: Object) -> dict[str, int]:
    found = {"cpu": 0, "memory": 0}
    for container in pod["spec"]["containers"]:
        asked = container["resources"]["requests"]
        found["cpu"] += amount("cpu", asked.get("cpu", "100m"))
        found["memory"] += amount("memory", asked.get("memory", "200Mi"))
    return found


def selects(selector: Object | None, labels: dict[str, str]) -> bool:
    if selector is None:
        return False
    if any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    return all(expression(each, labels) for each in selector.get("matchExpressions", []))


def expression(need: Object, labels: dict[str, str]) -> bool:
    value, values = labels.get(need["key"]), need.get("values", [])
    match need["operator"]:
        case "In":
            return value is not None and value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt":
            return value is not None and value.isdigit() and int(value) > int(values[0])
        case _:
            return value is not None and value.isdigit() and int(value) < int(values[0])


def tolerated(taint: Object, tolerations: list[Object]) -> bool:
    for each in tolerations:
        if each.get("effect") and each["effect"] != taint["effect"]:
            continue
        if each.get("key") and each["key"] != taint["key"]:
            continue
        if each.get("operator", "Equal") == "Exists" or each.get("value", "") == taint.get("value", ""):
            return True
    return False


class Reference:
    def __init__(self, nodes: list[Object], pods: list[Object], namespaces: dict[str, dict[str, str]]) -> None:
        self.nodes = {node["metadata"]["name"]: node for node in nodes}
        self.pods = pods
        self.namespaces = namespaces

    def on(self, node: str) -> list[Object]:
        return [pod for pod in self.pods if pod["spec"].get("nodeName") == node]

    def labels(self, node: str) -> dict[str, str]:
        found: dict[str, str] = self.nodes[node]["metadata"]["labels"]
        return found

    # Required.

    def feasible(self, pod: Object) -> list[str]:
        return [name for name in self.nodes if not self.broken(pod, name)]

    def broken(self, pod: Object, name: str) -> str:
        """The first rule that the node breaks."""
        spec, node = pod["spec"], self.nodes[name]
        tolerations = spec.get("tolerations", [])
        cordon = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
        if node["spec"].get("unschedulable") and not tolerated(cordon, tolerations):
            return "NodeUnschedulable"
        if not self.taints_pass(pod, name):
            return "TaintToleration"
        if not self.affinity_passes(pod, name):
            return "NodeAffinity"
        wanted = {port["hostPort"] for each in spec["containers"] for port in each["ports"]}
        for other in self.on(name):
            if wanted & {port["hostPort"] for each in other["spec"]["containers"] for port in each["ports"]}:
                return "NodePorts"
        if not self.fits(pod, name):
            return "NodeResourcesFit"
        if not self.spread_passes(pod, name):
            return "PodTopologySpread"
        if not self.neighbours_pass(pod, name):
            return "InterPodAffinity"
        return ""

    def taints_pass(self, pod: Object, name: str) -> bool:
        return all(
            taint["effect"] == "PreferNoSchedule" or tolerated(taint, pod["spec"].get("tolerations", []))
            for taint in self.nodes[name]["spec"].get("taints", [])
        )

    def affinity_passes(self, pod: Object, name: str) -> bool:
        spec, labels = pod["spec"], self.labels(name)
        if any(labels.get(key) != value for key, value in spec.get("nodeSelector", {}).items()):
            return False
        required = spec.get("affinity", {}).get("nodeAffinity", {}).get(REQUIRED)
        if required is None:
            return True
        return any(self.term_matches(term, name) for term in required["nodeSelectorTerms"])

    def term_matches(self, term: Object, name: str) -> bool:
        expressions, fields = term.get("matchExpressions", []), term.get("matchFields", [])
        if not expressions and not fields:
            return False
        return all(expression(each, self.labels(name)) for each in expressions) and all(
            expression(each, {"metadata.name": name}) for each in fields
        )

    def fits(self, pod: Object, name: str) -> bool:
        there, here = self.nodes[name]["status"]["allocatable"], self.on(name)
        if len(here) + 1 > int(there["pods"]):
            return False
        for key, wanted in requests(pod).items():
            used = sum(requests(other).get(key, 0) for other in here)
            if wanted and used + wanted > amount(key, there.get(key, "0")):
                return False
        return True

    def counted(self, pod: Object, constraint: Object, hard: list[Object]) -> dict[str, int]:
        """Pods by domain."""
        domains: dict[str, int] = {}
        for name in self.nodes:
            labels = self.labels(name)
            if any(each["topologyKey"] not in labels for each in hard) or not self.included(pod, constraint, name):
                continue
            alike = [
                other
                for other in self.on(name)
                if other["metadata"]["namespace"] == pod["metadata"]["namespace"]
                and selects(constraint.get("labelSelector"), other["metadata"]["labels"])
            ]
            value = labels[constraint["topologyKey"]]
            domains[value] = domains.get(value, 0) + len(alike)
        return domains

    def included(self, pod: Object, constraint: Object, name: str) -> bool:
        if constraint.get("nodeAffinityPolicy") != "Ignore" and not self.affinity_passes(pod, name):
            return False
        return constraint.get("nodeTaintsPolicy") != "Honor" or self.taints_pass(pod, name)

    def spread_passes(self, pod: Object, name: str) -> bool:
        every = pod["spec"].get("topologySpreadConstraints", [])
        hard = [each for each in every if each["whenUnsatisfiable"] == "DoNotSchedule"]
        for constraint in hard:
            value = self.labels(name).get(constraint["topologyKey"])
            if value is None:
                return False
            domains = self.counted(pod, constraint, hard)
            least = min(domains.values(), default=0)
            if len(domains) < constraint.get("minDomains", 1):
                least = 0
            own = selects(constraint.get("labelSelector"), pod["metadata"]["labels"])
            if domains.get(value, 0) + own - least > constraint["maxSkew"]:
                return False
        return True

    def means(self, term: Object, owner: Object, other: Object) -> bool:
        """Whether a term of `owner` is about `other`."""
        namespace = other["metadata"]["namespace"]
        names, selector = term.get("namespaces", []), term.get("namespaceSelector")
        if not names and selector is None:
            names = [owner["metadata"]["namespace"]]
        inside = namespace in names or (selector is not None and selects(selector, self.namespaces[namespace]))
        return inside and selects(term.get("labelSelector"), other["metadata"]["labels"])

    def near(self, name: str, key: str) -> list[Object]:
        """The pods in the node's domain."""
        value = self.labels(name).get(key)
        if value is None:
            return []
        return [
            pod
            for pod in self.pods
            if pod["spec"].get("nodeName") in self.nodes and self.labels(pod["spec"]["nodeName"]).get(key) == value
        ]

    def neighbours_pass(self, pod: Object, name: str) -> bool:
        affinity = pod["spec"].get("affinity", {})
        terms = affinity.get("podAffinity", {}).get(REQUIRED, [])

        def all_mean(other: Object) -> bool:
            return all(self.means(term, pod, other) for term in terms)

        if terms:
            found = all(any(all_mean(other) for other in self.near(name, term["topologyKey"])) for term in terms)
            anywhere = any(
                all_mean(other)
                for node in self.nodes
                for term in terms
                for other in self.near(node, term["topologyKey"])
            )
            first = not anywhere and all_mean(pod)
            if not found and not (first and all(term["topologyKey"] in self.labels(name) for term in terms)):
                return False
        for term in affinity.get("podAntiAffinity", {}).get(REQUIRED, []):
            if any(self.means(term, pod, other) for other in self.near(name, term["topologyKey"])):
                return False
        for node in self.nodes:
            for other in self.on(node):
                for term in other["spec"].get("affinity", {}).get("podAntiAffinity", {}).get(REQUIRED, []):
                    value = self.labels(node).get(term["topologyKey"])
                    same = value is not None and self.labels(name).get(term["topologyKey"]) == value
                    if same and self.means(term, other, pod):
                        return False
        return True

    # Preferred.

    def scores(self, pod: Object) -> dict[str, int]:
        names = self.feasible(pod)
        if not names:
            return {}
        total = dict.fromkeys(names, 0)
        parts = (
            (3, self.taint_scores),
            (2, self.affinity_scores),
            (1, self.least_scores),
            (2, self.spread_scores),
            (2, self.neighbour_scores),
            (1, self.balance_scores),
            (1, self.image_scores),
        )
        for weight, part in parts:
            for name, score in part(pod, names).items():
                total[name] += weight * score
        return total

    def choice(self, pod: Object) -> str:
        scores = self.scores(pod)
        if not scores:
            return ""
        order = list(self.nodes)
        return min(scores, key=lambda name: (-scores[name], len(self.on(name)), order.index(name)))

    def taint_scores(self, pod: Object, names: list[str]) -> dict[str, int]:
        tolerations = [
            each for each in pod["spec"].get("tolerations", []) if each.get("effect", "") in ("", "PreferNoSchedule")
        ]
        counts = {
            name: sum(
                taint["effect"] == "PreferNoSchedule" and not tolerated(taint, tolerations)
                for taint in self.nodes[name]["spec"].get("taints", [])
            )
            for name in names
        }
        most = max(counts.values())
        return {name: 100 - counts[name] * 100 // most if most else 0 for name in names}

    def affinity_scores(self, pod: Object, names: list[str]) -> dict[str, int]:
        wishes = pod["spec"].get("affinity", {}).get("nodeAffinity", {}).get(PREFERRED, [])
        counts = {
            name: sum(wish["weight"] for wish in wishes if self.term_matches(wish["preference"], name))
            for name in names
        }
        most = max(counts.values())
        return {name: counts[name] * 100 // most if most else 0 for name in names}

    def least_scores(self, pod: Object, names: list[str]) -> dict[str, int]:
        found = {}
        for name in names:
            parts = []
            for key in ("cpu", "memory"):
                there = amount(key, self.nodes[name]["status"]["allocatable"][key])
                asked = scoring(pod)[key] + sum(scoring(other)[key] for other in self.on(name))
                if there:
                    parts.append((there - asked) * 100 // there if asked <= there else 0)
            found[name] = sum(parts) // max(len(parts), 1)
        return found

    def balance_scores(self, pod: Object, names: list[str]) -> dict[str, int]:
        if not any(requests(pod).get(key) for key in ("cpu", "memory")):
            return {}
        found = {}
        for name in names:
            parts = []
            for key in ("cpu", "memory"):
                there = amount(key, self.nodes[name]["status"]["allocatable"][key])
                asked = requests(pod).get(key, 0) + sum(requests(other).get(key, 0) for other in self.on(name))
                parts.append(min(asked / there, 1.0) if there else None)
            deviation = abs(parts[0] - parts[1]) * 0.5 if None not in parts else 0.0  # type: ignore[operator]
            found[name] = int((1 - deviation) * 100)
        return found

    def image_scores(self, pod: Object, names: list[str]) -> dict[str, int]:
        images = [each["image"] + ":latest" for each in pod["spec"]["containers"]]

        def size(name: str, image: str) -> int:
            for each in self.nodes[name]["status"]["images"]:
                if image in each["names"]:
                    return int(each["sizeBytes"])
            return 0

        low, high = 23 << 20, (1000 << 20) * len(images)
        found = {}
        for name in names:
            total = 0
            for image in images:
                have = sum(size(each, image) > 0 for each in self.nodes)
                total += int(size(name, image) * (have / len(self.nodes)))
            found[name] = (max(low, min(total, high)) - low) * 100 // (high - low)
        return found

    def spread_scores(self, pod: Object, names: list[str]) -> dict[str, int]:
        every = pod["spec"].get("topologySpreadConstraints", [])
        soft = [each for each in every if each["whenUnsatisfiable"] == "ScheduleAnyway"]
        counted = [name for name in names if all(each["topologyKey"] in self.labels(name) for each in soft)]
        if not soft or not counted:
            return {}
        raw = {}
        for name in counted:
            total = 0.0
            for constraint in soft:
                key = constraint["topologyKey"]
                if key == "kubernetes.io/hostname":
                    size = len(counted)
                    around = sum(
                        other["metadata"]["namespace"] == pod["metadata"]["namespace"]
                        and selects(constraint.get("labelSelector"), other["metadata"]["labels"])
                        for other in self.on(name)
                    )
                else:
                    size = len({self.labels(each)[key] for each in counted})
                    around = self.counted(pod, constraint, soft).get(self.labels(name)[key], 0)
                total += around * math.log(size + 2) + constraint["maxSkew"] - 1
            raw[name] = int(total + 0.5)
        low, high = min(raw.values()), max(raw.values())
        return {name: (high + low - raw[name]) * 100 // high if high else 100 for name in counted}

    def neighbour_scores(self, pod: Object, names: list[str]) -> dict[str, int]:
        totals = dict.fromkeys(names, 0)
        for name in names:
            for part, sign in (("podAffinity", 1), ("podAntiAffinity", -1)):
                for wish in pod["spec"].get("affinity", {}).get(part, {}).get(PREFERRED, []):
                    term = wish["podAffinityTerm"]
                    near = [other for other in self.near(name, term["topologyKey"]) if self.means(term, pod, other)]
                    totals[name] += sign * wish["weight"] * len(near)
            for other in self.pods:
                if other["spec"].get("nodeName") in self.nodes:
                    totals[name] += self._wished_by(other, pod, name)
        low, high = min(totals.values()), max(totals.values())
        if low == high:
            return {}
        return {name: int(float(totals[name] - low) * 100.0 / float(high - low)) for name in names}

    def _wished_by(self, other: Object, pod: Object, name: str) -> int:
        found = 0
        affinity = other["spec"].get("affinity", {})
        listed = [
            (sign * wish["weight"], wish["podAffinityTerm"])
            for part, sign in (("podAffinity", 1), ("podAntiAffinity", -1))
            for wish in affinity.get(part, {}).get(PREFERRED, [])
        ]
        listed += [(1, term) for term in affinity.get("podAffinity", {}).get(REQUIRED, [])]
        for weight, term in listed:
            if self.means(term, other, pod) and other in self.near(name, term["topologyKey"]):
                found += weight
        return found
