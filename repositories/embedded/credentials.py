"""The passwords of a data directory, and the random name by which it is known.

Kept in one file that only its owner reads.
"""

from __future__ import annotations

import json
import os
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

from domain.errors import EmbeddedServerError

SUPERUSER = "postgres"
APPLICATION = "recollect"


class Credentials(BaseModel):
    """Made once for each data directory.

    `identity` is random, so that nobody can prepare a socket directory in advance.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    identity: str
    superuser_password: SecretStr
    application_password: SecretStr

    @classmethod
    def load(cls, path: Path) -> Credentials:
        """Read the file.

        Raises:
            EmbeddedServerError: it is missing, or not what was written.
        """
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            raise EmbeddedServerError(
                f"{path} is missing: without it nobody can log in to the server beside it"
            ) from None
        except ValidationError:
            raise EmbeddedServerError(
                f"{path} is damaged: without it nobody can log in to the server beside it"
            ) from None

    @classmethod
    def make(cls, path: Path) -> Credentials:
        """Draw new ones and write them."""
        drawn = {name: secrets.token_urlsafe(32) for name in cls.model_fields}
        write_private(path, json.dumps(drawn, indent=2).encode())
        return cls.load(path)

    def of(self, role: str) -> SecretStr:
        """The password of one of the two roles."""
        return self.superuser_password if role == SUPERUSER else self.application_password


@dataclass(frozen=True)
class Login:
    """How a role reaches a server; what its representation shows is no secret."""

    host: Path
    port: int
    role: str
    password: SecretStr

    def url(self, database: str) -> SecretStr:
        """A URL in libpq's form, through the Unix socket."""
        password = self.password.get_secret_value()
        return SecretStr(
            f"postgresql://{self.role}:{password}@/{database}?host={self.host}&port={self.port}"
        )

    def tcp_url(self, database: str) -> SecretStr:
        """The same by way of 127.0.0.1."""
        return SecretStr(
            f"postgresql://{self.role}:{self.password.get_secret_value()}@127.0.0.1:{self.port}/{database}"
        )


def write_private(path: Path, content: bytes, *, owner: tuple[int, int] | None = None) -> None:
    """Write a file that only its owner reads.

    Whole or not at all, and never through a link that somebody put in its place.
    """
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
            if owner is not None:
                os.fchown(descriptor, *owner)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
