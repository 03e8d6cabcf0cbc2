"""Backups: `dump` writes a database to a file, `restore` writes the file to an empty database.

A file has three parts. The first line names the format and has the SHA-256 of the manifest. The
manifest describes the database and the contents in JSON. The body has the rows of every table, as
PostgreSQL's binary COPY, in one gzip stream.
"""

from repositories.backup.dumping import dump
from repositories.backup.manifest import Manifest
from repositories.backup.reader import BackupReader
from repositories.backup.restoring import restore

__all__ = ["BackupReader", "Manifest", "dump", "restore"]
