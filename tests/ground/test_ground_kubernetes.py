"""docs/kubernetes.md names every served resource with its short names and subresources, and admission in its order."""

import re
from pathlib import Path

from boxship.cluster.objects.catalog import RESOURCES

TEXT = (Path(__file__).parents[2] / "docs" / "kubernetes.md").read_text()


def test_every_resource_is_in_the_page() -> None:
    missing = []
    for resource in RESOURCES:
        row = next((line for line in TEXT.splitlines() if line.startswith(f"| `{resource.api_version}` |")), "")
        found = re.search(rf"`{resource.plural}`( \(([^)]*)\))?", row)
        told = (found and found[2]) or ""
        wanted = [*resource.short_names, *(f"/{name}" for name in resource.subresources)]
        if found is None or not all(word in re.split(r"[ ,;]+", told) for word in wanted):
            missing.append(f"{resource.path}: {' '.join(wanted)}")
    assert not missing, "\n".join(missing)


def test_admission_is_in_the_page_in_its_order() -> None:
    source = (Path(__file__).parents[2] / "src/boxship/cluster/api/admission/chain.py").read_text()
    order = re.findall(r"^        ([A-Z]\w+)\(", source, re.MULTILINE)
    assert len(order) > 10
    places = [TEXT.index(name) for name in order]
    assert places == sorted(places)
