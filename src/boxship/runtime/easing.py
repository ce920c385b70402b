"""What a root without CAP_SYS_RESOURCE may not set is set as far as it may: best effort with a warning, no failure.

Raising a hard resource limit and lowering oom_score_adj need that capability; inside many virtual machines and nested
containers root lacks it.
"""

import resource
from pathlib import Path
from typing import Any

from boxship.runtime.security import possible_capabilities


def ease(config: dict[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The config as far as this daemon's rights go, and a warning for each change."""
    process, warnings = ease_process(config["process"])
    return {**config, "process": process}, warnings


def ease_process(wished: dict[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The same for the process object alone, a container's or an exec's."""
    if "CAP_SYS_RESOURCE" in possible_capabilities():
        return wished, ()
    process = dict(wished)
    warnings = []
    limits = []
    for limit in process.get("rlimits", ()):
        number = getattr(resource, limit["type"], None)
        highest = resource.getrlimit(number)[1] if number is not None else resource.RLIM_INFINITY
        if highest != resource.RLIM_INFINITY and limit["hard"] > highest:
            warnings.append(f"ulimit {limit['type'].removeprefix('RLIMIT_').lower()}: cannot be raised above {highest}")
            limit = {**limit, "hard": highest, "soft": min(limit["soft"], highest)}
        limits.append(limit)
    if limits:
        process["rlimits"] = limits
    wanted = process.get("oomScoreAdj", 0)
    if wanted < int(Path("/proc/self/oom_score_adj").read_text()):
        process.pop("oomScoreAdj", None)
        if wanted:  # nobody asked for 0
            warnings.append(f"oom_score_adj: cannot be lowered to {wanted}")
    return process, tuple(warnings)
