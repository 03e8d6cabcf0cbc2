"""`deploy/citus/docker-compose.yml`, without Docker."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

FILE: Final = Path(__file__).parents[2] / "deploy" / "citus" / "docker-compose.yml"
DOCUMENT: Final[dict[str, Any]] = yaml.safe_load(FILE.read_text())
SERVICES: Final[dict[str, Any]] = DOCUMENT["services"]
WORKERS: Final = [name for name in SERVICES if name.startswith("worker-")]
NODES: Final = ["coordinator", *WORKERS]


def settings(service: dict[str, Any]) -> dict[str, str]:
    """Return the settings that the command of a service passes to the server."""
    pairs = [word.split("=", 1) for word in service["command"] if "=" in word]
    return dict(pairs)


def test_there_are_a_coordinator_and_two_workers_of_one_image() -> None:
    assert len(WORKERS) == 2
    assert len({SERVICES[name]["image"] for name in NODES}) == 1
    assert all(SERVICES[name]["build"] == SERVICES["coordinator"]["build"] for name in NODES)


def test_the_image_is_a_published_one_with_the_package_of_pgvector_for_its_version() -> None:
    dockerfile = SERVICES["coordinator"]["build"]["dockerfile_inline"]
    # Compose replaces ${…:-…}, and writes $ for $$.
    assert re.search(
        r"^FROM citusdata/citus:\$\{RECOLLECT_CITUS_TAG:-[\d.]+\}$", dockerfile, re.MULTILINE
    )
    assert "postgresql-$$PG_MAJOR-pgvector" in dockerfile


@pytest.mark.parametrize("name", NODES)
def test_a_node_loads_citus_and_can_move_shards_while_others_write(name: str) -> None:
    ours = settings(SERVICES[name])
    assert (ours["shared_preload_libraries"], ours["wal_level"]) == ("citus", "logical")
    assert int(ours["max_prepared_transactions"]) >= 100


def test_only_the_coordinator_is_reachable_and_only_from_this_machine() -> None:
    assert [name for name in SERVICES if "ports" in SERVICES[name]] == ["coordinator"]
    [port] = SERVICES["coordinator"]["ports"]
    assert port.startswith("127.0.0.1:")
    assert port.endswith(":5432")


def test_each_node_has_a_volume_of_its_own() -> None:
    mounts = [SERVICES[name]["volumes"][0].split(":")[0] for name in NODES]
    assert sorted(mounts) == sorted(DOCUMENT["volumes"])


def test_every_node_is_added_once_all_of_them_answer() -> None:
    content = DOCUMENT["configs"]["nodes"]["content"]
    assert re.findall(r"citus_add_node\('([\w-]+)', 5432\)", content) == WORKERS
    assert "citus_set_coordinator_host('coordinator', 5432)" in content
    assert SERVICES["nodes"]["depends_on"] == {
        name: {"condition": "service_healthy"} for name in NODES
    }
    [mounted] = SERVICES["nodes"]["configs"]
    assert mounted["source"] == "nodes"
    assert mounted["target"] in SERVICES["nodes"]["command"][0]


def test_every_node_gets_the_role_and_both_extensions_citus_first() -> None:
    content = DOCUMENT["configs"]["application"]["content"]
    assert re.findall(r"CREATE EXTENSION (\w+)", content) == ["citus", "vector"]
    assert content.index("CREATE ROLE recollect") < content.index("CREATE DATABASE recollect")
    for name in NODES:
        [script] = SERVICES[name]["configs"]
        assert (script["source"], script["target"].rpartition(".")[2]) == ("application", "sql")


def test_passwords_come_from_variables_and_only_the_server_can_read_their_file() -> None:
    environment = SERVICES["coordinator"]["environment"]
    assert environment["POSTGRES_PASSWORD"].startswith("${RECOLLECT_ADMIN_PASSWORD:-")
    start = SERVICES["coordinator"]["entrypoint"][2]
    assert start.startswith("umask 077 ")
    assert "chown postgres" in start
    assert "exec docker-entrypoint.sh" in start
