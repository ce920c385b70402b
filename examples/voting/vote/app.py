"""The page to vote on. A vote goes into the queue, and that is all this page has to do with it."""

import json
import os
import uuid

import redis
from flask import Flask, Response, make_response, render_template_string, request

app = Flask(__name__)
queue = redis.Redis(host=os.environ["QUEUE"], socket_connect_timeout=2, socket_timeout=2)
CHOICES = os.environ["CHOICES"].split(",")
PAGE = """<!doctype html>
<title>Vote</title>
<h1>{{ choices | join(" or ") }}?</h1>
<form method="post">
{% for choice in choices -%}
<button name="choice" value="{{ choice }}"{% if choice == chosen %} disabled{% endif %}>{{ choice }}</button>
{% endfor -%}
</form>
{% if chosen %}<p>You chose {{ chosen }}.</p>
{% endif %}"""


@app.route("/", methods=["GET", "POST"])
def page() -> Response | tuple[str, int]:
    """A voter is known by a cookie; who votes again has changed his mind."""
    voter = request.cookies.get("voter") or uuid.uuid4().hex
    chosen = request.form.get("choice")
    if chosen is not None:
        if chosen not in CHOICES:
            return "That is not one of the choices.\n", 400
        queue.lpush("votes", json.dumps({"voter": voter, "choice": chosen}))
    answer = make_response(render_template_string(PAGE, choices=CHOICES, chosen=chosen))
    answer.set_cookie("voter", voter, samesite="Lax", httponly=True)
    return answer


@app.get("/health")
def health() -> str:
    return "fine\n"


@app.errorhandler(redis.RedisError)
def without_queue(error: redis.RedisError) -> tuple[str, int, dict[str, str]]:
    return "Votes cannot be taken at the moment.\n", 503, {"Retry-After": "1"}
