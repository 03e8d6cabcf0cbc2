"""The database that a command uses."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from domain import ConfigurationError
from repositories.cli import compose, targets

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


def test_the_environment_goes_before_a_server(
    docker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://me@db.example/reviews?sslmode=verify-full")
    with targets.reach(Path(".data")) as target:
        assert target.label == "the database that DATABASE_URL names"
        assert target.settings.host == "db.example"
    assert not (docker / "calls.jsonl").exists()


@pytest.mark.parametrize("name", ["RECOLLECT_HOST", "RECOLLECT_DATABASE", "RECOLLECT_USER"])
def test_a_part_of_an_address_names_a_database(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "localhost")
    assert targets.named_in_environment() == name


@pytest.mark.parametrize("name", ["RECOLLECT_PORT", "RECOLLECT_PASSWORD", "RECOLLECT_TENANT"])
def test_a_variable_of_the_compose_file_names_no_database(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "6543")
    assert targets.named_in_environment() is None


def test_a_misspelt_variable_is_named_if_no_database_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECOLLECT_URL", "postgresql://me@db.example/reviews")
    with (
        pytest.raises(ConfigurationError, match="RECOLLECT_URL is not a setting"),
        targets.reach(tmp_path),
    ):
        pass


def test_an_empty_variable_names_no_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "")
    assert targets.named_in_environment() is None


def test_docker_goes_before_the_embedded_server(
    docker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECOLLECT_PORT", "6543")
    with targets.started(Path(".data")) as server:
        assert server is not None
        assert server.label == "PostgreSQL in Docker"
        assert server.target().settings.port == 6543
        assert (
            server.url.get_secret_value()
            == "postgresql://recollect:recollect@127.0.0.1:6543/recollect"
        )
    (call,) = (json.loads(line) for line in (docker / "calls.jsonl").read_text().splitlines())
    assert call[:2] == ["compose", "--file"]
    assert call[3:6] == ["exec", "--no-TTY", "postgres"]


def test_docker_without_the_database_is_skipped(docker: Path) -> None:
    (docker / "answers").unlink()
    assert not compose.runs(targets.compose_file() or Path("docker-compose.yml"))
    with targets.started(Path(".data")) as target:
        assert target is None


def test_without_a_database_the_error_says_how_to_start_one() -> None:
    sentence = "no database runs: start a database with `recollect db up`.*, or set DATABASE_URL"
    with pytest.raises(ConfigurationError, match=sentence), targets.reach(Path(".data")):
        pass
    assert not Path(".data").exists()


def test_the_compose_file_is_that_of_the_checkout(
    tmp_path: Path,
) -> None:
    (tmp_path / "docker-compose.yml").write_text("services: {}")
    file = targets.compose_file()
    assert file is not None
    assert file.parent == Path(__file__).parents[2]


def deadline_of(*, url: str | None = None, deadline: float | None = None) -> float:
    with targets.reach(Path(".data"), url=url, deadline=deadline) as target:
        return target.settings.connect_deadline.total_seconds()


def test_the_option_the_environment_and_a_short_default_decide_the_connect_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://localhost/x")
    assert deadline_of() == targets.CONNECT_DEADLINE_SECONDS < 5
    assert deadline_of(url="postgresql://localhost/y") == targets.CONNECT_DEADLINE_SECONDS
    monkeypatch.setenv("RECOLLECT_CONNECT_DEADLINE", "90")
    assert deadline_of() == 90
    assert deadline_of(deadline=0.5) == 0.5
    assert deadline_of(url="postgresql://localhost/y", deadline=0.5) == 0.5
    with pytest.raises(ConfigurationError, match="connect_deadline"):
        deadline_of(deadline=-1)


def test_the_option_url_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://localhost/x")
    with targets.reach(Path(".data"), url="postgresql://me:hunter2@localhost/y") as target:
        assert (target.label, target.settings.database) == ("the database of --url", "y")
        assert "hunter2" not in str(target.settings.target)


@pytest.mark.parametrize(
    "url", ["", "mysql://me:hunter2@db/x", "postgresql://me:hunter2@db/x?sslmode=loose", "hunter2"]
)
def test_the_option_url_is_validated_like_database_url(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigurationError) as of_option, targets.reach(Path(".data"), url=url):
        pass
    assert "hunter2" not in str(of_option.value)
    if url:
        monkeypatch.setenv("DATABASE_URL", url)
        with pytest.raises(ConfigurationError) as of_variable, targets.reach(Path(".data")):
            pass
        assert str(of_option.value) == str(of_variable.value).replace("DATABASE_URL", "--url")
