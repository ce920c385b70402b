"""A page of notes, which are in PostgreSQL: what is worth a backup."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg2
from flask import Flask, Response, redirect, render_template_string, request

app = Flask(__name__)
PASSWORD = Path("/run/secrets/password").read_text().strip()
TABLE = "CREATE TABLE IF NOT EXISTS notes (id serial PRIMARY KEY, text text NOT NULL)"
PAGE = """<!doctype html>
<title>{{ title }}</title>
<h1>{{ title }}</h1>
<ul>
{% for note in notes %}<li>{{ note }}</li>
{% endfor %}</ul>
<form method="post"><input name="text"><button>Keep</button></form>
"""


@contextmanager
def database() -> Iterator["psycopg2.extensions.cursor"]:
    """A transaction: what is done within is done wholly or not at all."""
    connection = psycopg2.connect(os.environ["DATABASE"], password=PASSWORD, connect_timeout=3)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(TABLE)
            yield cursor
    finally:
        connection.close()


@app.get("/")
def page() -> str:
    with database() as cursor:
        cursor.execute("SELECT text FROM notes ORDER BY id")
        notes = [text for (text,) in cursor.fetchall()]
    return render_template_string(PAGE, title=os.environ["TITLE"], notes=notes)


@app.post("/")
def keep() -> Response | tuple[str, int]:
    text = request.form.get("text", "").strip()
    if not text:
        return "A note has a text.\n", 400
    with database() as cursor:
        cursor.execute("INSERT INTO notes (text) VALUES (%s)", (text,))
    return redirect("/", 303)


@app.delete("/")
def forget() -> str:
    with database() as cursor:
        cursor.execute("DELETE FROM notes")
        return f"{cursor.rowcount} notes are gone.\n"


@app.get("/health")
def health() -> str:
    return "fine\n"


@app.errorhandler(psycopg2.OperationalError)
def without_database(error: psycopg2.OperationalError) -> tuple[str, int, dict[str, str]]:
    return "The notes cannot be read at the moment.\n", 503, {"Retry-After": "1"}
