"""Takes votes out of the queue and writes them into the database.

A vote lies in a second list while it is worked on, and leaves it when the database has it: whenever this process ends, the
next one finds it there. Writing the same vote twice changes nothing.
"""

import json
import os
import time
from contextlib import closing
from pathlib import Path

import psycopg2
import redis

WAITING, TAKEN = "votes", "votes:taken"
TABLE = "CREATE TABLE IF NOT EXISTS votes (voter text PRIMARY KEY, choice text NOT NULL)"
VOTE = """INSERT INTO votes (voter, choice) VALUES (%(voter)s, %(choice)s)
          ON CONFLICT (voter) DO UPDATE SET choice = excluded.choice"""


def work() -> None:
    queue = redis.Redis(host=os.environ["QUEUE"], socket_connect_timeout=2)
    password = Path("/run/secrets/password").read_text().strip()
    with closing(psycopg2.connect(os.environ["DATABASE"], password=password, connect_timeout=5)) as database:
        database.autocommit = True
        cursor = database.cursor()
        cursor.execute(TABLE)
        print("ready", flush=True)
        while queue.rpoplpush(TAKEN, WAITING):
            print("taken up again: a vote of a worker that ended", flush=True)
        while True:
            vote = queue.brpoplpush(WAITING, TAKEN)
            cursor.execute(VOTE, json.loads(vote))
            queue.lrem(TAKEN, 1, vote)
            print("counted a vote", flush=True)


while True:
    try:
        work()
    except KeyboardInterrupt:
        break
    except (redis.RedisError, psycopg2.Error) as error:
        print(f"once more in a second: {error}".strip(), flush=True)
        time.sleep(1)
