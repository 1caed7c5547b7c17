"""The tables of the response store, and how files of earlier layouts are brought up to date."""

import sqlite3
from pathlib import Path

from clarilm_kedro.chat.errors import StoreUnusable

#: Number of the tables' layout, in the file's ``user_version``.
LAYOUT = 3
#: The oldest layout that can be read without being brought up to date.
OLDEST_READ = 2
_RESPONSES = """
CREATE TABLE IF NOT EXISTS responses (
    key TEXT PRIMARY KEY,
    model TEXT NOT NULL,
    served_model TEXT,
    stage TEXT NOT NULL,
    prompt_sha TEXT,
    body BLOB NOT NULL,
    prompt_tokens INTEGER,
    completion_tokens INTEGER,
    created TEXT NOT NULL,
    system_fingerprint TEXT
) WITHOUT ROWID
"""
_ATTEMPTS = """
CREATE TABLE IF NOT EXISTS attempts (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL,
    stage TEXT NOT NULL,
    model TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    started TEXT NOT NULL,
    kind TEXT,
    seconds REAL,
    prompt_tokens INTEGER,
    cached_tokens INTEGER,
    completion_tokens INTEGER,
    reasoning_tokens INTEGER,
    estimated INTEGER,
    cost_usd REAL
)
"""
_BATCHES = """
CREATE TABLE IF NOT EXISTS batches (
    shard_sha TEXT PRIMARY KEY,
    endpoint TEXT NOT NULL,
    model TEXT NOT NULL,
    stage TEXT NOT NULL,
    file_id TEXT,
    batch_id TEXT,
    state TEXT NOT NULL,
    n_requests INTEGER NOT NULL,
    lines_read INTEGER NOT NULL DEFAULT 0,
    created TEXT NOT NULL,
    prompt_sha TEXT
) WITHOUT ROWID
"""
_BATCH_FAILURES = """
CREATE TABLE IF NOT EXISTS batch_failures (
    endpoint TEXT NOT NULL,
    key TEXT NOT NULL,
    model TEXT NOT NULL,
    stage TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    kind TEXT NOT NULL,
    detail TEXT NOT NULL,
    PRIMARY KEY (endpoint, key)
) WITHOUT ROWID
"""
_ATTEMPTS_OF_A_KEY = "CREATE INDEX IF NOT EXISTS attempts_of_a_key ON attempts (key)"
# Columns that came after their table, by its name.
_ADDED = {"responses": "system_fingerprint TEXT", "batches": "prompt_sha TEXT"}
# Before layout 3 it was the hash of the system message, which names no template.
_TO_3 = "UPDATE responses SET prompt_sha = NULL WHERE prompt_sha IS NOT NULL"


def connect(path: Path) -> sqlite3.Connection:
    """Open the file of a response store.

    Args:
        path: The file; made if it is not there.

    Returns:
        A connection that commits every statement by itself, for use by any one thread at a time.

    Raises:
        StoreUnusable: The file has a layout that this project does not know.
    """
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version not in range(LAYOUT + 1):
        connection.close()
        raise StoreUnusable(
            f"The response store {path} has layout {version}; this project reads layouts up to {LAYOUT}."
        )
    if version < LAYOUT:
        connection.execute("BEGIN IMMEDIATE")
        for statement in (_RESPONSES, _ATTEMPTS, _ATTEMPTS_OF_A_KEY, _BATCHES, _BATCH_FAILURES):
            connection.execute(statement)
        for table, column in _ADDED.items():
            there = {name for _, name, *_ in connection.execute(f"PRAGMA table_info({table})")}
            if column.split()[0] not in there:
                connection.execute(f"ALTER TABLE {table} ADD COLUMN {column}")
        connection.execute(_TO_3)
        connection.execute(f"PRAGMA user_version = {LAYOUT}")
        connection.execute("COMMIT")
    return connection
