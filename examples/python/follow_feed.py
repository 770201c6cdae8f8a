#!/usr/bin/env python3
"""Counts trades and volume of every symbol, each trade exactly once.

    follow_feed.py http://127.0.0.1:8080/feeds/executions/live totals.db

The position is saved in the same SQLite transaction as the totals: after any crash, of this program
or of the servers, both are as of the same message, and reading goes on behind it. Python 3.9 and
later; nothing else.
"""
import http.client
import json
import sqlite3
import sys
import time
import urllib.parse

SILENCE_S = 30  # the gateway sends a comment every 10 s: after so long the connection is dead


def events(url, position):
    """Server-sent events behind `position` (None: from the first), as (id, name, data).

    Ends when the connection does. Raises OSError or HTTPException when there is none.
    """
    address = urllib.parse.urlsplit(url)
    scheme = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
    connection = scheme[address.scheme](address.netloc, timeout=SILENCE_S)
    try:
        headers = {"Accept": "text/event-stream"}
        target = address.path
        if position:
            headers["Last-Event-ID"] = position
        else:
            target += "?from=first"
        connection.request("GET", target, headers=headers)
        answer = connection.getresponse()
        if 400 <= answer.status < 500:  # wrong feed, position or token: trying again cannot help
            sys.exit(f"{url}: {json.load(answer).get('detail', answer.status)}")
        if answer.status != 200:
            raise http.client.HTTPException(f"status {answer.status}")
        event = {}
        for line in answer:  # an event is its lines, and ends with an empty one
            field, _, value = line.decode().rstrip("\r\n").partition(": ")
            if field:
                event[field] = value
            else:
                if "data" in event:
                    yield event.get("id"), event.get("event", "message"), json.loads(event["data"])
                event = {}
    finally:
        connection.close()


def open_totals(path):
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("CREATE TABLE IF NOT EXISTS totals"
                     " (symbol TEXT PRIMARY KEY, trades INTEGER, volume REAL)")
    database.execute("CREATE TABLE IF NOT EXISTS position"
                     " (only_one INTEGER PRIMARY KEY CHECK (only_one = 1), id TEXT)")
    return database


def stored_position(database):
    row = database.execute("SELECT id FROM position").fetchone()
    return row and row[0]


def apply(database, event_id, name, data):
    """The effect and the position, or neither."""
    database.execute("BEGIN IMMEDIATE")
    if name == "message":
        body = data["body"]
        database.execute("INSERT INTO totals VALUES (?, 1, ?) ON CONFLICT (symbol) DO UPDATE"
                         " SET trades = trades + 1, volume = volume + excluded.volume",
                         (body["symbol"], body["quantity"]))
    elif name == "gap":  # neither the stream nor the table has these any more
        print(f"lost for good: {data['first']} to {data['last']}", file=sys.stderr)
    database.execute("INSERT OR REPLACE INTO position VALUES (1, ?)", (event_id,))
    database.execute("COMMIT")


def main(url, path):
    database = open_totals(path)
    while True:
        try:
            for event_id, name, data in events(url, stored_position(database)):
                if event_id:
                    apply(database, event_id, name, data)
        except (OSError, http.client.HTTPException) as problem:
            print(f"{problem}; trying again", file=sys.stderr)
        time.sleep(1)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except KeyboardInterrupt:
        pass
