"""A page that counts its visits; the count itself lives in Redis, so this process may come and go."""

import os

import redis
from flask import Flask, Response, jsonify

app = Flask(__name__)
store = redis.Redis(host=os.environ["REDIS"], socket_connect_timeout=2, socket_timeout=2)


@app.get("/")
def page() -> str:
    visits = store.incr("visits")
    return f"<!doctype html><title>Counter</title><h1>{os.environ['GREETING']}!</h1><p>Visits: {visits}</p>\n"


@app.get("/count")
def count() -> Response:
    """The count as JSON; looking at it does not count."""
    return jsonify(visits=int(store.get("visits") or 0))


@app.get("/health")
def health() -> str:
    return "fine\n"


@app.errorhandler(redis.RedisError)
def without_redis(error: redis.RedisError) -> tuple[str, int, dict[str, str]]:
    return "The counter does not answer at the moment.\n", 503, {"Retry-After": "1"}
