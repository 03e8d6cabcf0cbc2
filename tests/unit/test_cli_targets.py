"""Which database a command speaks to."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from domain import ConfigurationError
from repositories.cli import compose
from repositories.cli import targets as places

pytestmark = pytest.mark.usefixtures("bare")

STAND_IN = """#!{python} -IS
import json, pathlib, sys
folder = pathlib.Path({folder!r})
with (folder / "calls.jsonl").open("a") as calls:
    calls.write(json.dumps(sys.argv[1:]) + "\\n")
sys.exit(0 if (folder / "answers").exists() else 1)
"""


@pytest.fixture
def docker(tmp_path: Path) -> Path:
    program = tmp_path / "docker"
    program.write_text(STAND_IN.format(python=sys.executable, folder=str(tmp_path)))
    program.chmod(0o755)
    (tmp_path / "answers").touch()
    return tmp_path


def test_the_environment_goes_first(docker: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://me@db.example/reviews?sslmode=verify-full")
    with places.reach(Path(".data")) as place:
        assert place.kind == "the database that DATABASE_URL names"
        assert place.settings.host == "db.example"
    assert not (docker / "calls.jsonl").exists()


@pytest.mark.parametrize("name", ["RECOLLECT_HOST", "RECOLLECT_DATABASE", "RECOLLECT_USER"])
def test_a_part_of_an_address_names_a_database(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "localhost")
    assert places.named_in_environment() == name


@pytest.mark.parametrize("name", ["RECOLLECT_PORT", "RECOLLECT_PASSWORD", "RECOLLECT_TENANT"])
def test_what_the_compose_file_reads_as_well_names_none(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "6543")
    assert places.named_in_environment() is None


def test_an_empty_variable_names_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "")
    assert places.named_in_environment() is None


def test_docker_goes_before_the_embedded_server(
    docker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECOLLECT_PORT", "6543")
    with places.started(Path(".data")) as place:
        assert place is not None
        assert place.kind == "PostgreSQL in Docker"
        assert place.settings.port == 6543
        assert (
            place.url.get_secret_value()
            == "postgresql://recollect:recollect@127.0.0.1:6543/recollect"
        )
    (call,) = (json.loads(line) for line in (docker / "calls.jsonl").read_text().splitlines())
    assert call[:2] == ["compose", "--file"]
    assert call[3:6] == ["exec", "--no-TTY", "postgres"]


def test_docker_without_our_database_is_passed_by(docker: Path) -> None:
    (docker / "answers").unlink()
    assert not compose.runs(places.compose_file() or Path("docker-compose.yml"))
    with places.started(Path(".data")) as place:
        assert place is None


def test_without_any_database_it_says_how_to_get_one() -> None:
    sentence = "no database runs: start one with `recollect db up`, or set DATABASE_URL"
    with pytest.raises(ConfigurationError, match=sentence), places.reach(Path(".data")):
        pass
    assert not Path(".data").exists()


def test_the_compose_file_is_the_checkouts_own_and_never_the_working_folders(
    tmp_path: Path,
) -> None:
    (tmp_path / "docker-compose.yml").write_text("services: {}")
    found = places.compose_file()
    assert found is not None
    assert found.parent == Path(__file__).parents[2]


def test_somebody_at_the_keyboard_does_not_wait_for_half_a_minute(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://localhost/x")
    with places.reach(Path(".data")) as place:
        assert place.settings.connect_deadline == places.CONNECT_DEADLINE
    monkeypatch.setenv("RECOLLECT_CONNECT_DEADLINE", "90")
    with places.reach(Path(".data")) as place:
        assert place.settings.connect_deadline.total_seconds() == 90
