"""What kubectl makes of the OpenAPI documents: explanations of every kind, checks before and on the server."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from control_kit import Control, running_control
from test_cluster_kubectl_versions_kit import KUBECTLS
