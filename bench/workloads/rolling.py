"""A rolling update under load: clients ask a service without a pause, and every answer is counted."""

import http.client
import threading
import time
from collections import Counter

ASK_SECONDS = 5.0


class Load:
    """Some clients, each with a connection for every request, as the strictest ones do."""

    def __init__(self, host: str, clients: int) -> None:
        self.answers: Counter[str] = Counter()
        self.slowest = 0.0  # milliseconds
        self.losses: list[float] = []  # when, in milliseconds since the beginning
        self._host = host
        self._begun = 0.0
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(clients)]

    def __enter__(self) -> "Load":
        self._begun = time.perf_counter()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    @property
    def lost(self) -> int:
        return sum(count for answer, count in self.answers.items() if answer.startswith("lost"))

    def _ask(self) -> None:
        while not self._over.is_set():
            begun = time.perf_counter()
            try:
                connection = http.client.HTTPConnection(self._host, 80, timeout=ASK_SECONDS)
                connection.request("GET", "/")
                answer = connection.getresponse()
                text = answer.read().decode().strip()
                connection.close()
                found = text if answer.status == 200 else f"lost: {answer.status}"
            except (OSError, http.client.HTTPException) as error:
                found = f"lost: {error}"
                self.losses.append((begun - self._begun) * 1000)
            self.answers[found] += 1
            self.slowest = max(self.slowest, (time.perf_counter() - begun) * 1000)
