"""A database in a file, and back: `dump` writes one, `restore` reads it into a database that is
empty.

A file has three parts. One line names the format and has the SHA-256 of what follows it; the
manifest says, in JSON, what the database was and what is in the file; the body is every table's
rows, as PostgreSQL's binary COPY, in one compressed stream.
"""

from repositories.backup.dumping import dump
from repositories.backup.manifest import Manifest
from repositories.backup.reader import BackupReader
from repositories.backup.restoring import restore

__all__ = ["BackupReader", "Manifest", "dump", "restore"]
