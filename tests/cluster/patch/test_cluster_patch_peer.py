"""Strategic merge beside the original's own: `kubectl patch --local` on made-up pods."""

import json
import random
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from boxship.cluster.objects.patch import strategic
from boxship.cluster.objects.schema.builtin import load
from daemons import kubectl_program

CASES = 40
NAMES = "abcd"


class Maker:
    """Pods and patches for them, the same ones every time."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def some(self, choices: Any, least: int = 1, most: int = 3) -> list[Any]:
        return self.random.sample(choices, self.random.randint(least, most))

    def sometimes(self, chance: float = 0.4) -> bool:
        return self.random.random() < chance

    def container(self, name: str) -> dict[str, Any]:
        made: dict[str, Any] = {"name": name, "image": self.random.choice(["i:1", "i:2"])}
        if self.sometimes():
            made["env"] = [{"name": key, "value": self.random.choice("12")} for key in self.some("XYZ")]
        if self.sometimes():
            made["ports"] = [{"containerPort": port} for port in self.some([80, 81, 82], 1, 2)]
        if self.sometimes():
            made["args"] = self.some("pqr")
        return made

    def pod(self) -> dict[str, Any]:
        metadata = {"name": "x", "labels": {key: self.random.choice("12") for key in self.some("klm", 0)}}
        metadata["finalizers"] = self.some(["f/1", "f/2", "f/3"])  # type: ignore[assignment]
        spec = {"containers": [self.container(name) for name in self.some(NAMES)], "tolerations": [{"key": "t"}]}
        spec["volumes"] = [{"name": "v", "hostPath": {"path": "/"}}]
        return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}

    def patch(self) -> dict[str, Any]:
        metadata: dict[str, Any] = {"labels": {key: self.random.choice(["1", "3", None]) for key in self.some("klmn")}}
        spec: dict[str, Any] = {}
        if self.sometimes():
            metadata["finalizers"] = self.some(["f/2", "f/3", "f/4"], 1, 2)
        elif self.sometimes():
            metadata["$deleteFromPrimitiveList/finalizers"] = self.some(["f/1", "f/2"], 1, 1)
        if self.sometimes(0.2):
            metadata["labels"] = {"$patch": self.random.choice(["replace", "delete"]), "z": "1"}
        items = [
            {"name": name, "$patch": "delete"} if self.sometimes(0.3) else self.container(name)
            for name in self.some(NAMES)
        ]
        spec["containers"] = items
        if self.sometimes():
            order = [item["name"] for item in items if "$patch" not in item]
            for name in self.random.sample(NAMES, 2):
                if name not in [item["name"] for item in items]:
                    order.insert(self.random.randint(0, len(order)), name)
            spec["$setElementOrder/containers"] = [{"name": name} for name in order]
        elif self.sometimes(0.2):
            items.append({"$patch": "replace"})
        if self.sometimes():
            spec["volumes"] = [{"$retainKeys": ["name", "emptyDir"], "name": "v", "emptyDir": {}}]
        return {"metadata": metadata, "spec": spec}


def by_kubectl(case: tuple[dict[str, Any], dict[str, Any]], home: Path) -> Any:
    pod, patch = case
    command = [
        kubectl_program(),
        "patch",
        "--local",
        "-f",
        "-",
        "--type=strategic",
        "-p",
        json.dumps(patch),
        "-o",
        "json",
    ]
    done = subprocess.run(
        command,
        input=json.dumps(pod),
        capture_output=True,
        text=True,
        env={"HOME": str(home), "KUBECONFIG": str(home / "none")},
        timeout=60,
        check=False,
    )
    return json.loads(done.stdout) if done.returncode == 0 else done.stderr


def plain(value: Any) -> Any:
    """Without the nulls and directives that the original leaves in parts that are new."""
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items() if part is not None and not key.startswith("$")}
    if isinstance(value, list):
        return [plain(part) for part in value if not (isinstance(part, dict) and "$patch" in part)]
    return value


def test_patches_give_what_the_original_gives(tmp_path: Path) -> None:
    maker, type_ = Maker(7), load(None).type_of("", "v1", "Pod")
    cases = [(maker.pod(), maker.patch()) for _ in range(CASES)]
    with ThreadPoolExecutor(3) as pool:
        for (pod, patch), theirs in zip(cases, pool.map(lambda case: by_kubectl(case, tmp_path), cases), strict=True):
            assert plain(strategic(pod, patch, type_)) == plain(theirs), (pod, patch)
