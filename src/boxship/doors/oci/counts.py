"""What the door counts: requests by method, route and status, and bytes of content. In memory, from each start anew."""

import time
from collections import Counter, defaultdict

BOUNDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0)  # seconds


class Counts:
    """Belongs to the loop."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, str, int]] = Counter()
        self.durations: Counter[tuple[str, float]] = Counter()
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.bytes_sent = 0
        self.bytes_received = 0
        self.logins_failed = 0
        self.started = time.time()

    def received(self, size: int) -> None:
        self.bytes_received += size

    def sent(self, size: int) -> None:
        self.bytes_sent += size

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """One request, until its reply was ready to be sent."""
        self.requests[method, route, status] += 1
        bound = next((bound for bound in BOUNDS if seconds <= bound), float("inf"))
        self.durations[route, bound] += 1
        self.seconds[route] += seconds
