"""Objects as rows of tables."""

from boxship.cluster.objects.resource import Resource
from boxship.cluster.objects.tables.text import moment

START = "2026-11-22T12:00:00Z"
NOW = (moment(START) or 0) + 90
AGE = "90s"


def resource(group: str, kind: str) -> Resource:
    return Resource(group, "v1", kind, kind.lower(), kind.lower(), True, kind, "v1")
