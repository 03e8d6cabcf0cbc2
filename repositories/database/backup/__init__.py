"""A database in a file, and back: `dump` writes one, `restore` reads it into a database that is empty.

A file has three parts. One line names the format and has the SHA-256 of what follows it; the manifest says, in JSON, what the
database was and what is in the file; the body is every table's rows, as PostgreSQL's binary COPY, in one compressed stream.
"""

from repositories.database.backup.dumping import dump
from repositories.database.backup.manifest import Manifest
from repositories.database.backup.reading import BackupReader
from repositories.database.backup.restoring import restore

__all__ = ["BackupReader", "Manifest", "dump", "restore"]
