"""How the state's database is opened for reading, whatever characters its path has.

The command line imports this module for every verb, so what reading needs is imported by who reads.
"""

from __future__ import annotations

import os
from contextlib import closing
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import sqlite3


OBJECT_ROWS: Final = (
    "SELECT kind, domain, name, path, line, digest, revision, held, CAST(body AS BLOB) FROM objects"
)
"""The table `objects`, whole, as `spec.stored` reads it."""
FILE_ROWS: Final = "SELECT path, mtime_ns, inode, size, digest, rejected, objects FROM files"
"""The table `files` likewise."""


def uri_of(path: str | os.PathLike[str]) -> str:
    """The URI of a database that is only read. SQLite takes an unquoted `#` or `?` for the end of the path."""
    from urllib.parse import quote

    return f"file:{quote(os.fsencode(path))}?mode=ro"


def reading(path: str | os.PathLike[str]) -> sqlite3.Connection:
    """Open a database for reading. Raise sqlite3.OperationalError when it is not there."""
    import sqlite3

    return sqlite3.connect(uri_of(path), uri=True, isolation_level=None, timeout=10.0)


def opened(path: str | os.PathLike[str]) -> closing[sqlite3.Connection]:
    """The same for one `with`, closed at its end: a connection's own `with` ends a transaction only."""
    return closing(reading(path))
