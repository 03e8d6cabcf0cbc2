"""`docker-compose.yml`, and the module that runs it, with a `docker` that logs its calls."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from domain.errors import ConfigurationError, DatabaseUnavailable
from repositories.cli import compose

FILE = Path(__file__).parents[2] / "docker-compose.yml"
DOCUMENT: dict[str, Any] = yaml.safe_load(FILE.read_text())
SERVICE: dict[str, Any] = DOCUMENT["services"]["postgres"]

STAND_IN = """#!{python} -IS
import json, os, pathlib, sys, time

folder = pathlib.Path({folder!r})
with (folder / "calls.jsonl").open("a") as calls:
    calls.write(json.dumps({{"arguments": sys.argv[1:], "environment": dict(os.environ)}}) + "\\n")
plan = json.loads((folder / "plan.json").read_text())
commands = ("version", "up", "down", "exec")
answer = plan.get(next(word for word in sys.argv[1:] if word in commands), 0)
if answer == "hang":
    time.sleep(60)
sys.exit(answer)
"""


class Docker:
    """A `docker` on the PATH; `plan` sets the exit codes of its commands, or makes them hang."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        program = folder / "docker"
        program.write_text(STAND_IN.format(python=sys.executable, folder=str(folder)))
        program.chmod(0o755)
        (folder / "calls.jsonl").touch()
        self.plan()

    def plan(self, **answers: int | str) -> None:
        (self.folder / "plan.json").write_text(json.dumps(answers))

    def calls(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "calls.jsonl").read_text().splitlines()]

    def last(self) -> list[str]:
        arguments: list[str] = self.calls()[-1]["arguments"]
        return arguments


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Docker:
    monkeypatch.setenv("PATH", str(tmp_path))
    for variable in ("RECOLLECT_PORT", "RECOLLECT_PASSWORD"):
        monkeypatch.delenv(variable, raising=False)
    return Docker(tmp_path)


def expand(text: str, **variables: str) -> str:
    """Expand `${NAME:-default}` as Compose does."""
    return re.sub(r"\$\{(\w+):-([^}]*)\}", lambda match: variables.get(match[1]) or match[2], text)


def test_up_starts_the_file_and_waits_until_healthy(docker: Docker) -> None:
    compose.up(FILE, wait_seconds=20)
    assert docker.last() == [
        "compose",
        "--file",
        str(FILE),
        "up",
        "--detach",
        "--wait",
        "--wait-timeout",
        "20",
    ]


def test_compose_reads_no_env_file(docker: Docker) -> None:
    compose.up(FILE)
    assert docker.calls()[-1]["environment"]["COMPOSE_DISABLE_ENV_FILE"] == "1"


def test_down_stops_it_and_keeps_the_volume(docker: Docker) -> None:
    compose.down(FILE)
    assert docker.last() == ["compose", "--file", str(FILE), "down"]


def test_the_server_runs_if_the_container_says_so(docker: Docker) -> None:
    assert compose.runs(FILE)
    assert docker.last()[:5] == ["compose", "--file", str(FILE), "exec", "--no-TTY"]
    docker.plan(exec=1)
    assert not compose.runs(FILE)


def test_docker_answers_if_engine_and_compose_do(docker: Docker) -> None:
    assert compose.docker_answers()
    assert [call["arguments"][:2] for call in docker.calls()] == [
        ["version", "--format"],
        ["compose", "version"],
    ]
    docker.plan(version=1)
    assert not compose.docker_answers()


def test_a_docker_that_hangs_does_not_answer(
    docker: Docker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compose, "ANSWER_WITHIN_SECONDS", 0.5)
    docker.plan(version="hang")
    started = time.monotonic()
    assert not compose.docker_answers()
    assert time.monotonic() - started < 20


def test_without_docker_up_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not compose.docker_answers()
    assert not compose.runs(FILE)
    with pytest.raises(ConfigurationError, match="Docker is not installed"):
        compose.up(FILE)


def test_up_without_an_engine_starts_nothing(docker: Docker) -> None:
    docker.plan(version=1)
    with pytest.raises(ConfigurationError, match="engine does not answer"):
        compose.up(FILE)
    assert all("up" not in call["arguments"] for call in docker.calls())


def test_up_names_a_missing_file(docker: Docker, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nowhere\.yml does not exist"):
        compose.up(tmp_path / "nowhere.yml")
    assert docker.calls() == []


def test_a_server_that_does_not_get_healthy_is_unavailable(
    docker: Docker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECOLLECT_PORT", "5433")
    monkeypatch.setenv("RECOLLECT_PASSWORD", "hush-hush")
    docker.plan(up=1)
    with pytest.raises(DatabaseUnavailable, match="not healthy within 7 s") as raised:
        compose.up(FILE, wait_seconds=7)
    assert (raised.value.host, raised.value.port) == ("127.0.0.1", 5433)
    assert "hush-hush" not in repr(raised.value)


def test_a_server_that_does_not_stop_is_reported(docker: Docker) -> None:
    docker.plan(down=1)
    with pytest.raises(DatabaseUnavailable, match="did not stop"):
        compose.down(FILE)


def test_the_url_is_local_and_quotes_and_hides_the_password() -> None:
    url = compose.url({"RECOLLECT_PORT": "5433", "RECOLLECT_PASSWORD": "p@ss/w:rd%"})
    assert (
        url.get_secret_value()
        == "postgresql://recollect:p%40ss%2Fw%3Ard%25@127.0.0.1:5433/recollect"
    )
    assert "p%40ss" not in f"{url!r}{url}"


@pytest.mark.parametrize("port", ["0", "65536", "x", "-1", "5432;", "\u0665"])
def test_an_invalid_port_is_refused_without_its_value(port: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        compose.url({"RECOLLECT_PORT": port})
    assert raised.value.setting == "RECOLLECT_PORT"


def test_the_url_and_the_file_agree_on_every_default() -> None:
    (port,) = SERVICE["ports"]
    password = expand(SERVICE["environment"]["RECOLLECT_PASSWORD"])
    host, published, _ = expand(port).split(":")
    assert (
        compose.url({}).get_secret_value()
        == f"postgresql://recollect:{password}@{host}:{published}/recollect"
    )


def test_one_variable_chooses_the_version_and_only_this_machine_reaches_it() -> None:
    assert expand(SERVICE["image"]) == "pgvector/pgvector:pg18"
    assert expand(SERVICE["image"], RECOLLECT_PG_TAG="pg16") == "pgvector/pgvector:pg16"
    (port,) = SERVICE["ports"]
    assert expand(port, RECOLLECT_PORT="6000") == "127.0.0.1:6000:5432"


def test_each_version_keeps_its_data_in_a_folder_of_its_own_on_the_named_volume() -> None:
    (mount,) = SERVICE["volumes"]
    volume, target = mount.split(":")
    assert volume in DOCUMENT["volumes"]
    folders = {
        expand(SERVICE["environment"]["PGDATA"], RECOLLECT_PG_TAG=tag)
        for tag in ("pg16", "pg17", "pg18")
    }
    assert len(folders) == 3
    for folder in folders:
        assert Path(folder).is_relative_to(target)
        assert not Path(folder).is_relative_to(
            "/var/lib/postgresql/data"
        )  # an anonymous volume of the images up to 17


def test_shared_memory_has_room_for_an_index_build() -> None:
    (setting,) = [word for word in SERVICE["command"] if word.startswith("maintenance_work_mem=")]
    assert bytes_of(SERVICE["shm_size"]) >= bytes_of(setting.partition("=")[2])


def bytes_of(size: str) -> int:
    match = re.fullmatch(r"(\d+)(mb|gb)", size.lower())
    assert match is not None
    return int(match[1]) * {"mb": 2**20, "gb": 2**30}[match[2]]


def test_healthy_means_that_the_final_server_answers_and_the_database_exists() -> None:
    kind, command = SERVICE["healthcheck"]["test"]
    assert kind == "CMD-SHELL"
    assert "pg_isready -q -h 127.0.0.1" in command
    assert "-d recollect" in command


def test_the_application_is_not_a_superuser_and_the_extension_is_created_for_it() -> None:
    (config,) = SERVICE["configs"]
    assert Path(config["target"]).parent == Path("/docker-entrypoint-initdb.d")
    script = DOCUMENT["configs"][config["source"]]["content"]
    assert "CREATE ROLE recollect LOGIN PASSWORD :'password';" in script
    assert "SUPERUSER" not in script
    assert script.index("\\connect recollect") < script.index("CREATE EXTENSION vector;")
    assert "POSTGRES_USER" not in SERVICE["environment"]
    assert "$" not in script  # Compose would expand it


def test_compose_accepts_the_file() -> None:
    docker = shutil.which("docker")
    if (
        docker is None
        or subprocess.run(
            [docker, "compose", "version"], capture_output=True, check=False, timeout=30
        ).returncode
    ):
        pytest.skip("the docker command has no `compose` here")
    for tag in ("pg16", "pg17", "pg18"):
        command = [docker, "compose", "--file", str(FILE), "config", "--format", "json"]
        environment = {**os.environ, "RECOLLECT_PG_TAG": tag}
        answer = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=30
        )
        assert answer.returncode == 0, answer.stderr
        assert (
            json.loads(answer.stdout)["services"]["postgres"]["image"] == f"pgvector/pgvector:{tag}"
        )
