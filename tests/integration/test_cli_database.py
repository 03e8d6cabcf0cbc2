"""`recollect db …` on real servers: an embedded one, and one behind a stand-in `docker`."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner, Result

from domain import Review
from repositories import Database, Settings, migrations, registry
from repositories.cli import targets, tasks
from repositories.cli.app import app
from repositories.embedded import EmbeddedServer
from tests.conftest import free_port

ROOT = Path(__file__).parents[2]

Recollect = Callable[..., Result]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("cli")
    yield folder
    server = EmbeddedServer.find(folder / targets.POSTGRES)
    if server is not None:
        server.stop()


@pytest.fixture
def recollect(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recollect:
    """Run a command without Docker and without settings in the environment."""
    for name in (*targets.NAMES_A_DATABASE, "RECOLLECT_PORT", "RECOLLECT_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    # Other tests of this process register entities of applications.
    monkeypatch.setattr(registry, "_registered", {})

    def run(*arguments: str, data_dir: Path = folder) -> Result:
        return CliRunner().invoke(app, [*arguments, "--data-dir", str(data_dir)])

    return run


@pytest.fixture(scope="module")
def urls() -> list[str]:
    """The URL that `db up` printed, as soon as it ran."""
    return []


@pytest.fixture
def up(recollect: Recollect, folder: Path, urls: list[str]) -> str:
    """Return the URL of the server of `db up`, which is started once and after each stop."""
    if urls and is_running(folder / targets.POSTGRES):
        return urls[0]
    result = recollect("db", "up")
    assert result.exit_code == 0, result.stderr
    name, _, value = result.stdout.strip().partition("=")
    assert name == "DATABASE_URL"
    urls[:] = shlex.split(value)
    (url,) = urls
    return url


def is_running(folder: Path) -> bool:
    server = EmbeddedServer.find(folder)
    if server is None:
        return False
    server.release()
    return True


def password_of(url: str) -> str:
    password = urlsplit(url).password
    assert password
    return password


def write_review(url: str) -> None:
    async def write() -> None:
        async with Database.from_url(url) as database, database.unit_of_work() as uow:
            uow.reviews.add(Review(repo="a/b", pr_number=1))
            await uow.commit()

    asyncio.run(write())


def delete_reviews(url: str) -> None:
    async def delete() -> None:
        async with Database.from_url(url) as database, database.unit_of_work() as uow:
            for review in await uow.reviews.list():
                await uow.reviews.delete(review.id)
            await uow.commit()

    asyncio.run(delete())


def test_up_says_what_it_starts_and_prints_one_line_for_the_shell(
    recollect: Recollect, up: str, folder: Path
) -> None:
    again = recollect("db", "up")
    assert again.exit_code == 0
    assert again.stdout == f"DATABASE_URL={shlex.quote(up)}\n"
    assert "Docker does not answer" in again.stderr
    assert str(folder / "postgres") in again.stderr
    assert f"at revision {migrations.head()}" in again.stderr
    assert password_of(up) not in again.stderr


def test_url_prints_only_the_url_of_up(recollect: Recollect, up: str) -> None:
    result = recollect("db", "url")
    assert (result.exit_code, result.stdout, result.stderr) == (0, f"{up}\n", "")


def test_another_program_can_use_the_url(up: str, folder: Path, tmp_path: Path) -> None:
    variables = {**os.environ, "DATABASE_URL": up, "PYTHONPATH": str(ROOT)}
    finished = subprocess.run(
        [sys.executable, "-m", "repositories.cli", "db", "status"],
        env=variables, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    assert "the database that DATABASE_URL names" in finished.stdout


def test_status_describes_the_database_without_its_password(recollect: Recollect, up: str) -> None:
    result = recollect("db", "status")
    assert result.exit_code == 0
    for part in (
        "PostgreSQL",
        "pgvector",
        migrations.head(),
        "1024 dimensions",
        "0 of 20 connections in use",
    ):
        assert part in result.stdout
    assert password_of(up) not in result.output


def test_rollback_undoes_the_newest_revision_and_migrate_repeats_it(
    recollect: Recollect, up: str
) -> None:
    back = recollect("db", "rollback")
    assert back.exit_code == 0
    assert migrations.head() not in back.stdout
    outdated = recollect("db", "status")
    assert outdated.exit_code == 1
    assert "run `recollect db migrate`" in outdated.stdout
    assert recollect("db", "check").exit_code == 1
    forward = recollect("db", "migrate")
    assert (forward.exit_code, migrations.head() in forward.stdout) == (0, True)
    assert recollect("db", "status").exit_code == 0


def test_the_migration_of_a_database_with_rows_shows_its_steps(
    recollect: Recollect, up: str
) -> None:
    assert recollect("db", "rollback", "0013").exit_code == 0
    assert "done after" not in recollect("db", "migrate").stderr, "it has no rows"
    write_review(up)
    assert recollect("db", "rollback", "0013", "--yes").exit_code == 0
    steps = recollect("db", "migrate").stderr.splitlines()
    assert any(line.startswith("findings: done after ") for line in steps), steps
    delete_reviews(up)


def test_rollback_takes_a_number_or_a_revision(recollect: Recollect, up: str) -> None:
    assert recollect("db", "rollback", "-2").exit_code == 0
    refused = recollect("db", "rollback", "base")
    assert (refused.exit_code, "pass --yes to confirm" in refused.stderr) == (1, True)
    emptied = recollect("db", "rollback", "base", "--yes")
    assert (emptied.exit_code, "is empty" in emptied.stdout) == (0, True)
    refused = recollect("db", "migrate", "nowhere")
    assert refused.exit_code == 1
    assert refused.stderr.count("\n") == 1
    assert recollect("db", "migrate").exit_code == 0


def test_rollback_of_a_database_with_rows_needs_a_confirmation(
    recollect: Recollect, up: str
) -> None:
    write_review(up)
    refused = recollect("db", "rollback")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "pass --yes to confirm" in refused.stderr
    assert password_of(up) not in refused.stderr
    assert json.loads(recollect("db", "status", "--json").stdout)["revision"] == migrations.head()
    assert recollect("db", "rollback", "--yes").exit_code == 0
    assert recollect("db", "reset", "--yes").exit_code == 0


def test_rows_that_row_level_security_hides_need_a_confirmation_too(
    recollect: Recollect, up: str
) -> None:
    write_review(up)
    assert recollect("db", "rls", "enable").exit_code == 0
    refused = recollect("db", "rollback")
    assert (refused.exit_code, "pass --yes to confirm" in refused.stderr) == (1, True)
    assert recollect("db", "rls", "disable").exit_code == 0
    assert recollect("db", "reset", "--yes").exit_code == 0


def test_reset_without_a_terminal_needs_yes(recollect: Recollect, up: str) -> None:
    refused = recollect("db", "reset")
    assert refused.exit_code == 1
    assert "pass --yes to confirm" in refused.stderr
    assert "***" in refused.stderr


def test_reset_deletes_everything_and_migrates_again(recollect: Recollect, up: str) -> None:
    def count() -> int:
        async def reviews() -> int:
            async with Database.from_url(up) as database, database.reader() as view:
                return await view.reviews.count()

        return asyncio.run(reviews())

    write_review(up)
    assert count() == 1
    result = recollect("db", "reset", "--yes")
    assert result.exit_code == 0, result.stderr
    assert count() == 0


def test_check_prints_each_difference_and_ends_with_1(recollect: Recollect, up: str) -> None:
    agrees = recollect("db", "check")
    drop = "COMMENT ON TABLE reviews IS 'drifted'"

    async def drift() -> None:
        from sqlalchemy import text

        async with (
            targets.connected(targets.settings_for(SecretStr(up))) as engine,
            engine.begin() as connection,
        ):
            await connection.execute(text(drop))

    asyncio.run(drift())
    drifted = recollect("db", "check")
    assert drifted.exit_code == 1
    assert "the comment of table reviews is `drifted`" in drifted.stdout
    assert drifted.stdout.splitlines()[-1].endswith(": 1 difference from the entities")
    (difference,) = json.loads(recollect("db", "check", "--json").stdout)["differences"]
    assert difference == drifted.stdout.splitlines()[0]
    assert agrees.exit_code == 0
    assert agrees.stdout.endswith("postgres: the schema equals the entities\n")
    assert agrees.stdout.count("\n") == 1
    assert recollect("db", "reset", "--yes").exit_code == 0


def test_maintain_prints_its_changes_in_one_sentence(
    recollect: Recollect, up: str, folder: Path
) -> None:
    async def age() -> None:
        from sqlalchemy import text

        event = (
            "INSERT INTO telemetry_events (id, repo, event_type, model, conclusion, created_at) "
            "VALUES (gen_random_uuid(), 'a/b', 'review', 'm', 'ok', '2020-01-01')"
        )
        operation = (
            "INSERT INTO committed_operations (operation_id, created_at) "
            "VALUES (gen_random_uuid(), now() - interval '8 days')"
        )
        async with (
            targets.connected(targets.settings_for(SecretStr(up))) as engine,
            engine.begin() as connection,
        ):
            await connection.execute(text(event))
            await connection.execute(text(operation))

    place = f"the embedded server in {folder / 'postgres'}"
    asyncio.run(age())
    problem = recollect("db", "status")
    assert (problem.exit_code, "run `recollect db maintain`" in problem.stdout) == (1, True)
    done = recollect("db", "maintain")
    assert (done.exit_code, done.stdout) == (
        0,
        f"{place}: created 1 months of telemetry (2020-01), moved 1 events into them\n",
    )
    dropped = recollect("db", "maintain", "--keep-days", "365")
    assert dropped.stdout.startswith(f"{place}: dropped 1 (telemetry_events_2020_01) with about ")
    assert recollect("db", "maintain").stdout == f"{place}: nothing to do\n"
    assert recollect("db", "maintain", "--keep-days", "-1").exit_code == 1
    assert recollect("db", "maintain", "--keep-operations-days", "0").exit_code == 1
    purged = recollect("db", "maintain", "--keep-operations-days", "7")
    assert purged.stdout == f"{place}: purged 1 committed operations\n"
    assert recollect("db", "status").exit_code == 0


def test_the_doctor_finds_nothing_wrong(recollect: Recollect, up: str) -> None:
    result = recollect("doctor")
    assert result.exit_code == 0, result.stdout
    assert "problem" not in result.stdout
    assert "pgvector" in result.stdout


def test_search_uses_words_only_if_the_database_has_other_embeddings(
    recollect: Recollect, up: str
) -> None:
    result = recollect("search", "retries")
    assert result.exit_code == 0, result.stderr
    assert "searching by words only" in result.stderr
    assert "dimensions" in result.stderr
    assert "Passages" in result.stdout
    assert "Findings" in result.stdout


def test_down_stops_the_server_and_keeps_the_data(
    recollect: Recollect, up: str, folder: Path
) -> None:
    assert is_running(folder / "postgres")
    stopped = recollect("db", "down")
    assert (stopped.exit_code, "stopped the embedded server" in stopped.stderr) == (0, True)
    assert not is_running(folder / "postgres")
    nothing = recollect("db", "url")
    assert (nothing.exit_code, nothing.stdout) == (1, "")
    assert "recollect db up" in nothing.stderr
    assert recollect("db", "down").stderr == "no server runs\n"
    restarted = recollect("db", "up")
    assert restarted.stdout == f"DATABASE_URL={shlex.quote(up)}\n"


def test_check_of_a_temporary_server_leaves_nothing_behind(
    recollect: Recollect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders: list[Path] = []
    start = EmbeddedServer.start

    def remembered(folder: Path, **options: object) -> EmbeddedServer:
        folders.append(folder)
        return start(folder, settings={"fsync": "off"})

    monkeypatch.setattr(EmbeddedServer, "start", remembered)
    checked = recollect("db", "check", "--embedded", data_dir=tmp_path / "unused")
    assert (checked.exit_code, checked.stderr) == (0, "")
    assert checked.stdout == "a temporary embedded server: the schema equals the entities\n"
    (folder,) = folders
    assert not folder.parent.exists()
    assert not (tmp_path / "unused").exists()


def test_a_revision_is_written_from_a_temporary_server(
    recollect: Recollect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = migrations.revise
    monkeypatch.setattr(
        migrations, "revise", lambda engine, message: real(engine, message, tmp_path)
    )
    result = CliRunner().invoke(app, ["db", "revision", "-m", "add what is missing"])
    assert result.exit_code == 0, result.stderr
    written = Path(result.stdout.strip())
    assert written.parent == tmp_path
    assert written.name.endswith("add_what_is_missing.py")
    assert "this revision changes nothing: write its statements" in result.stderr


def test_check_of_a_temporary_server_says_how_to_write_a_missing_revision(
    recollect: Recollect, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def differing(_: Settings) -> list[str]:
        return ["table review_labels is missing in the database"]

    monkeypatch.setattr(targets, "temporary", lambda: nullcontext(Settings()))
    monkeypatch.setattr(tasks, "check_migrated", differing)
    checked = recollect("db", "check", "--embedded")
    assert checked.exit_code == 1
    assert "`make revision` writes one" in checked.stderr


def test_a_revision_is_refused_in_an_installed_package(
    recollect: Recollect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / "site-packages" / "repositories"
    installed.mkdir(parents=True)
    monkeypatch.setattr("repositories.__file__", str(installed / "__init__.py"))
    refused = CliRunner().invoke(app, ["db", "revision", "-m", "add a column"])
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "run `make revision` in a checkout" in refused.stderr
    assert list(installed.iterdir()) == []


@pytest.mark.parametrize(
    ("command", "keys"),
    [
        (["up"], ("database", "revision", "url")),
        (["url"], ("database", "url")),
        (["migrate"], ("database", "revision")),
        (["check"], ("database", "differences")),
        (["rls", "enable"], ("changed", "database", "row_level_security")),
        (["rls", "disable"], ("changed", "database", "row_level_security")),
        (["reset", "--yes"], ("database", "revision")),
    ],
    ids=" ".join,
)
def test_a_command_prints_its_result_as_one_json_object(
    recollect: Recollect, up: str, command: list[str], keys: tuple[str, ...]
) -> None:
    result = recollect("db", *command, "--json")
    assert result.exit_code == 0, result.stderr
    assert sorted(json.loads(result.stdout)) == list(keys)


def test_json_of_status_and_maintain_has_their_figures(recollect: Recollect, up: str) -> None:
    status = recollect("db", "status", "--json")
    figures = json.loads(status.stdout)
    assert (figures["healthy"], figures["problems"]) == (True, [])
    assert (figures["revision"], figures["dimensions"]) == (migrations.head(), 1024)
    assert password_of(up) not in status.stdout
    assert json.loads(recollect("db", "maintain", "--json").stdout)["moved"] == 0


def test_the_option_url_is_used_and_its_password_is_never_printed(
    recollect: Recollect, up: str, tmp_path: Path
) -> None:
    for command in (["db", "status"], ["db", "check"], ["db", "migrate"], ["doctor"]):
        used = recollect(*command, "--url", up, data_dir=tmp_path / "unused")
        assert used.exit_code == 0, used.stderr
        assert "the database of --url" in used.stdout
        assert password_of(up) not in used.output
    refused = recollect("db", "reset", "--url", up, data_dir=tmp_path / "unused")
    assert (refused.exit_code, password_of(up) in refused.output) == (1, False)


@pytest.mark.parametrize("command", [["db", "status"], ["db", "check"], ["search", "words"]])
def test_a_port_that_refuses_connections_fails_fast_and_with_advice(
    recollect: Recollect, command: list[str]
) -> None:
    started = time.monotonic()
    url = f"postgresql://me:hunter2@127.0.0.1:{free_port()}/x"
    refused = recollect(*command, "--url", url, "--connect-deadline", "0.5")
    assert time.monotonic() - started < 8
    assert (refused.exit_code, refused.stdout) == (1, "")
    for words in ("no connection within 0.5 s", "check --url", "recollect db up", "make db-up"):
        assert words in refused.stderr
    assert "hunter2" not in refused.stderr


def test_a_piped_table_does_not_wrap(recollect: Recollect, tmp_path: Path) -> None:
    folder = tmp_path / ("long-name-" * 15)
    table = recollect("doctor", data_dir=folder).stdout
    assert any(str(folder) in line for line in table.splitlines())


DOCKER = """#!/bin/sh
printf '%s\\n' "$*" >> {log}
"""


@pytest.fixture
def docker(
    folder: Path, tmp_path: Path, recollect: Recollect, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A `docker` that succeeds at everything, and a server at the port of the compose file."""
    port = free_port()
    with EmbeddedServer.start(
        folder / "stand-in", tcp_port=port, settings={"fsync": "off"}
    ) as server:
        assert server.tcp_url is not None
        password = password_of(server.tcp_url.get_secret_value())
        monkeypatch.setenv("RECOLLECT_PORT", str(port))
        monkeypatch.setenv("RECOLLECT_PASSWORD", password)
        (tmp_path / "docker").write_text(DOCKER.format(log=tmp_path / "log"))
        (tmp_path / "docker").chmod(0o755)
        yield tmp_path / "log"


def test_docker_is_used_if_it_answers(docker: Path, recollect: Recollect, tmp_path: Path) -> None:
    started = recollect("db", "up", data_dir=tmp_path / "data")
    assert started.exit_code == 0, started.stderr
    assert "PostgreSQL in Docker runs" in started.stderr
    assert not (tmp_path / "data").exists()
    assert any(" up --detach --wait" in call for call in docker.read_text().splitlines())
    status = recollect("db", "status", data_dir=tmp_path / "data")
    assert (status.exit_code, "PostgreSQL in Docker" in status.stdout) == (0, True)
    stopped = recollect("db", "down", data_dir=tmp_path / "data")
    assert "stopped PostgreSQL in Docker" in stopped.stderr
    assert docker.read_text().splitlines()[-1].endswith(" down")


def test_the_embedded_server_can_be_chosen_if_docker_answers(
    docker: Path, recollect: Recollect
) -> None:
    started = recollect("db", "up", "--embedded")
    assert started.exit_code == 0, started.stderr
    assert "starting the embedded server" in started.stderr
    assert not docker.exists()


def test_an_interrupted_command_removes_its_temporary_server(tmp_path: Path) -> None:
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    running = subprocess.Popen(
        [sys.executable, "-m", "repositories.cli", "db", "check", "--embedded"],
        cwd=tmp_path, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("recollect-*/postgres/postgresql/postmaster.pid")):
        assert time.monotonic() < deadline
        assert running.poll() is None
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    _, stderr = running.communicate(timeout=60)
    assert (running.returncode, stderr) == (130, "")
    assert not list(tmp_path.glob("recollect-*/postgres"))
