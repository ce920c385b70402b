"""A replicated journal of three: one primary at a time, no acknowledged entry is ever lost.

Who leads is decided by a Lease of the Kubernetes API, whose transitions count the terms. An entry is acknowledged when
two of the three have it on disk. Who wants to lead asks the others first, which shuts out older terms there, and takes
the lead only where nobody of a majority knows more: so it knows every entry that was acknowledged.
"""

import datetime
import json
import os
import ssl
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NAME = os.environ["POD_NAME"]
NAMESPACE = os.environ["POD_NAMESPACE"]
PEERS = [f"ledger-{number}" for number in range(3) if f"ledger-{number}" != NAME]
JOURNAL = "/data/journal"
LEASE_SECONDS = 4
ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"

lock = threading.RLock()
journal: list[list] = []  # [term, text]
known_term = 0  # nobody of an older one is obeyed
term = 0  # in which we lead; 0: we do not


def save() -> None:
    """The whole of it, whole or not at all. Small enough for an example."""
    with open(f"{JOURNAL}.new", "w") as file:
        json.dump({"term": known_term, "entries": journal}, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(f"{JOURNAL}.new", JOURNAL)


def cluster(method: str, path: str, body: object = None, kind: str = "application/json") -> dict:
    with open(f"{ACCOUNT}/token") as file:
        headers = {"Authorization": f"Bearer {file.read()}", "Content-Type": kind}
    data = None if body is None else json.dumps(body).encode()
    url = f"https://kubernetes.default.svc{path}"
    request = urllib.request.Request(url, data=data, method=method, headers=headers)
    context = ssl.create_default_context(cafile=f"{ACCOUNT}/ca.crt")
    with urllib.request.urlopen(request, timeout=2, context=context) as answer:
        return json.load(answer)


def tell(peer: str, path: str, body: object) -> dict:
    request = urllib.request.Request(f"http://{peer}.nodes:8000{path}", data=json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=2) as answer:
        return json.load(answer)


def progress() -> list[int]:
    return [journal[-1][0] if journal else 0, len(journal)]


def lead() -> None:
    """Keeps the lease, or tries to get it."""
    labelled = False
    while True:
        time.sleep(1 if term else 0.5)
        try:
            if not labelled:
                label("replica")  # also after an end in the middle of a term
                labelled = True
            if term:
                renew()
            else:
                apply_for_lease()
        except (OSError, KeyError, ValueError) as error:
            print(f"the lease: {error}", flush=True)
            if term and time.monotonic() - renewed > LEASE_SECONDS:
                step_down("the lease could not be renewed")


def renew() -> None:
    global renewed
    asked = time.monotonic()
    lease = cluster("GET", lease_path())
    if lease["spec"].get("holderIdentity") != NAME or lease["spec"].get("leaseTransitions") != term:
        step_down("somebody else leads")
        return
    lease["spec"]["renewTime"] = stamp()
    cluster("PUT", lease_path(), lease)
    renewed = asked


def apply_for_lease() -> None:
    global term, known_term, renewed
    lease = cluster("GET", lease_path())
    spec = lease["spec"]
    if spec.get("renewTime"):
        renewed_at = datetime.datetime.fromisoformat(spec["renewTime"].replace("Z", "+00:00"))
        age = datetime.datetime.now(datetime.UTC) - renewed_at
        if age.total_seconds() < LEASE_SECONDS and spec.get("holderIdentity") != NAME:
            return
    wanted = max(spec.get("leaseTransitions", 0), known_term) + 1
    heard = []
    for peer in PEERS:
        try:
            heard.append(tell(peer, "/elect", {"term": wanted})["progress"])
        except (OSError, ValueError):
            continue
    if not heard or max(heard) > progress():
        return
    spec.update(holderIdentity=NAME, leaseTransitions=wanted, leaseDurationSeconds=LEASE_SECONDS, renewTime=stamp())
    asked = time.monotonic()
    cluster("PUT", lease_path(), lease)  # refused where somebody else was faster
    with lock:
        if known_term > wanted:
            return
        known_term, term, renewed = wanted, wanted, asked
        journal.append([term, None])  # what came before is certain as soon as this is
        save()
        spread()
    label("primary")
    print(f"{NAME} leads in term {term}", flush=True)


def step_down(why: str) -> None:
    global term
    with lock:
        term = 0
    print(f"{NAME} leads no more: {why}", flush=True)
    label("replica")


def label(role: str) -> None:
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/{NAME}"
    cluster("PATCH", path, {"metadata": {"labels": {"role": role}}}, "application/merge-patch+json")


def lease_path() -> str:
    return f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/ledger"


def stamp() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def spread() -> None:
    """Give the journal to the others; raises OSError where not even one of them has it."""
    held = 0
    for peer in PEERS:
        try:
            held += tell(peer, "/append", {"term": term, "entries": journal})["kept"]
        except (OSError, ValueError) as error:
            print(f"{peer} does not follow: {error}", flush=True)
    if not held:
        raise OSError("no other replica has it")


class Ledger(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/health":
            self.answer(200, {"leads": bool(term)})
            return
        with lock:
            try:
                if not term:
                    raise OSError("this is a replica")
                spread()  # who was shut out meanwhile must not answer with the past
                self.answer(200, [text for _, text in journal if text is not None])
            except OSError as error:
                self.answer(503, {"error": str(error)})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/entries":
            self.write(body.decode())
            return
        asked = json.loads(body)
        global known_term, term
        with lock:
            if self.path == "/elect":
                if asked["term"] <= known_term:
                    self.answer(409, {"error": "an old term"})
                    return
                known_term, term = asked["term"], 0
                save()
                self.answer(200, {"progress": progress()})
            elif self.path == "/append":
                if asked["term"] < known_term:
                    self.answer(409, {"error": "an old term"})
                    return
                known_term = asked["term"]
                journal[:] = asked["entries"]
                save()
                self.answer(200, {"kept": 1})

    def write(self, text: str) -> None:
        with lock:
            if not term or time.monotonic() - renewed > LEASE_SECONDS:
                self.answer(503, {"error": "this is a replica"})
                return
            journal.append([term, text])
            save()
            try:
                spread()
            except OSError as error:
                self.answer(503, {"error": str(error)})
                return
            self.answer(201, {"number": len(journal)})

    def answer(self, status: int, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


renewed = 0.0  # when the lease was asked for last with success

if __name__ == "__main__":
    if os.path.exists(JOURNAL):
        with open(JOURNAL) as file:
            kept = json.load(file)
        known_term, journal = kept["term"], kept["entries"]
    threading.Thread(target=lead, daemon=True).start()
    ThreadingHTTPServer(("", 8000), Ledger).serve_forever()
