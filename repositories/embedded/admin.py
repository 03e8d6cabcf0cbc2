"""Statements that the superuser runs through the psql of the wheel.

This works in any thread, with or without an event loop.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from domain.errors import ConfigurationError, EmbeddedServerError
from repositories.embedded.credentials import APPLICATION, SUPERUSER

if TYPE_CHECKING:
    from pydantic import SecretStr

    from repositories.embedded.binaries import Installation
    from repositories.embedded.credentials import Login
    from repositories.embedded.waiting import Deadline

DATABASE: Final = APPLICATION
_PROTECTED: Final = frozenset({DATABASE, SUPERUSER, "template0", "template1"})
_NAME: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}")
# Whatever the settings of a user log or sample, the log contains no password: statements and parse
# trees are not logged, and errors do not quote statements.
_QUIET: Final = """\\set VERBOSITY terse
\\set SHOW_CONTEXT never
SET client_min_messages = warning; SET search_path = pg_catalog;
SET log_statement = none; SET log_min_duration_statement = -1; SET log_min_error_statement = panic;
SET log_transaction_sample_rate = 0; SET log_statement_sample_rate = 0;
SET log_min_duration_sample = -1; SET debug_print_parse = off; SET debug_print_rewritten = off;
SET debug_print_plan = off;
"""
# If a program is killed here, its psql continues to run. The lock keeps the next one waiting; an
# advisory lock belongs to one database and one session.
_ALONE: Final = "SELECT pg_advisory_lock(hashtext('recollect.embedded'));\n"
_VECTOR: Final = """
SELECT 'CREATE EXTENSION vector SCHEMA public'
 WHERE NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'vector') \\gexec
SELECT 'ALTER EXTENSION vector UPDATE' FROM pg_available_extensions
 WHERE name = 'vector' AND installed_version <> default_version \\gexec
"""
_PREPARE: Final = """
SELECT format('CREATE ROLE %I LOGIN PASSWORD %L', :'role', :'password')
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'role') \\gexec
SELECT format('ALTER ROLE %I NOSUPERUSER', rolname) FROM pg_roles
 WHERE rolname = :'role' AND rolsuper \\gexec
SELECT format('CREATE DATABASE %I OWNER %I', :'database', :'role')
 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'database') \\gexec
"""
_NO_CONNECTION: Final = 2  # psql's exit code if it cannot connect, or loses the connection
_RECOVERY: Final = re.compile(
    "the database system is|server closed the connection|connection to server was lost"
    "|terminating connection|could not receive data|Connection refused|No such file"
)


class _Interrupted(EmbeddedServerError):
    """The server takes no connections at the moment: it starts, or recovers from a crash."""


@dataclass(frozen=True)
class Admin:
    """The superuser of one running server."""

    install: Installation
    login: Login

    def prepare(self, application_password: SecretStr, deadline: Deadline) -> None:
        """Create the application's role, database and extension where they are missing.

        Raises:
            EmbeddedServerError: the server refuses the login or a statement.
        """
        variables = f"\\set role {APPLICATION}\n\\set database {DATABASE}\n"
        # `Credentials.make` generates the password from characters that need no quoting.
        secret = f"\\set password {application_password.get_secret_value()}\n"
        script = (
            f"{_ALONE}{variables}{secret}{_PREPARE}\\connect {DATABASE}\n{_QUIET}{_ALONE}{_VECTOR}"
        )
        while True:
            try:
                return self._run(script, deadline)
            except _Interrupted:
                # The script can run again. A crash of one session ends all of them, and the server
                # takes no connections until it has recovered.
                if deadline.passed:
                    raise
                deadline.pause()

    def create_database(self, name: str, template: str | None, deadline: Deadline) -> None:
        """Create a database that the application owns, with the extension.

        Raises:
            ConfigurationError: a name that would need quoting.
            EmbeddedServerError: it exists, or the template is in use or missing.
        """
        source = f" TEMPLATE {_checked(template)}" if template is not None else ""
        created = f"CREATE DATABASE {_checked(name)} OWNER {APPLICATION}{source};\n"
        self._run(f"{created}\\connect {name}\n{_QUIET}{_VECTOR}", deadline)

    def drop_database(self, name: str, deadline: Deadline) -> None:
        """Drop a database and whatever is connected to it; one that does not exist is fine.

        Raises:
            ConfigurationError: a name that would need quoting, or the server's own database.
        """
        if name in _PROTECTED:
            raise ConfigurationError(f"{name} is not a database to drop", setting="name")
        self._run(f"DROP DATABASE IF EXISTS {_checked(name)} WITH (FORCE);\n", deadline)

    def _run(self, script: str, deadline: Deadline) -> None:
        environment = {
            "PGHOST": str(self.login.host),
            "PGPORT": str(self.login.port),
            "PGUSER": self.login.role,
            "PGDATABASE": SUPERUSER,
            "PGPASSWORD": self.login.password.get_secret_value(),
            "PGCLIENTENCODING": "UTF8",
            "PGAPPNAME": "recollect-admin",
            "PGCONNECT_TIMEOUT": "10",
            "HOME": "/nonexistent",
            "LANG": "C.UTF-8",
        }
        command = [
            self.install.program("psql"),
            "--no-psqlrc",
            "--quiet",
            "--no-password",
            "--set",
            "ON_ERROR_STOP=1",
        ]
        try:
            done = subprocess.run(
                command,
                input=_QUIET + script,
                env=environment,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=deadline.remaining,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise EmbeddedServerError(
                f"the embedded server did not answer within {deadline.seconds:g} s"
            ) from None
        if done.returncode != 0:
            interrupted = done.returncode == _NO_CONNECTION and _RECOVERY.search(done.stderr)
            failure = _Interrupted if interrupted else EmbeddedServerError
            raise failure(f"the embedded server says: {_complaint(done.stderr)}")


def _checked(name: str) -> str:
    """Return a name as a quoted identifier, so that a keyword works too."""
    if not _NAME.fullmatch(name):
        raise ConfigurationError(
            "a database name has lower-case letters, digits and underscores, 63 at most",
            setting="name",
        )
    return f'"{name}"'


def _complaint(stderr: str) -> str:
    """Return the first error of psql's output, without its line number."""
    lines = [
        line for line in stderr.splitlines() if "ERROR:" in line or "error:" in line
    ] or stderr.splitlines()
    return (
        re.sub(r"^psql:(<stdin>:\d+: )?\s*|ERROR:\s*|error:\s*", "", lines[0])
        if lines
        else "no reason given"
    )
