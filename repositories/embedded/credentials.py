"""The passwords and the random identity of a data directory, in one file with mode 0600."""

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
_REMEDY = "restore the file, whose passwords the server in this folder requires"


class Credentials(BaseModel):
    """The passwords and the identity of a data directory, which are generated once.

    `identity` is random, so that the name of the socket directory cannot be predicted.
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
            raise EmbeddedServerError(f"{path} is missing: {_REMEDY}") from None
        except ValidationError:
            raise EmbeddedServerError(f"{path} is damaged: {_REMEDY}") from None

    @classmethod
    def make(cls, path: Path) -> Credentials:
        """Generate new credentials and write them to the file."""
        drawn = {name: secrets.token_urlsafe(32) for name in cls.model_fields}
        write_private(path, json.dumps(drawn, indent=2).encode())
        return cls.load(path)

    def of(self, role: str) -> SecretStr:
        """The password of one of the two roles."""
        return self.superuser_password if role == SUPERUSER else self.application_password


@dataclass(frozen=True)
class Login:
    """The data with which a role connects to a server; `repr` does not show the password."""

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
        """A URL in libpq's form, through 127.0.0.1."""
        return SecretStr(
            f"postgresql://{self.role}:{self.password.get_secret_value()}@127.0.0.1:{self.port}/{database}"
        )


def write_private(path: Path, content: bytes, *, owner: tuple[int, int] | None = None) -> None:
    """Write a file that only its owner can read.

    The write is atomic, and replaces a symbolic link instead of following it.
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
