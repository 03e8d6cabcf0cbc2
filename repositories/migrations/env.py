"""Alembic executes this file whenever it needs a database.

It finds connection and options in the configuration's attributes.
"""

from __future__ import annotations

from alembic import context

from repositories.migrations.environment import ENVIRONMENT, Environment


def run() -> None:
    """Run the command that Alembic executes."""
    environment: Environment = context.config.attributes[ENVIRONMENT]
    context.configure(**environment.configuration())
    with context.begin_transaction():
        context.run_migrations()


if __name__ == "env_py":  # Alembic's name for this module; another import runs nothing
    run()
