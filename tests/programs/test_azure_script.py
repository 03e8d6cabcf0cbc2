"""`deploy/azure.sh` with an `az` that stores its state in a file and logs every call."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "deploy" / "azure.sh"
PASSWORD = "Pa55 w@rd='$x\"%"
HOST = "recollect-01234567.postgres.database.azure.com"

STAND_IN = """#!{python} -IS
import json, os, pathlib, sys

folder = pathlib.Path({folder!r})
state = json.loads((folder / "state.json").read_text())
words, options, rest = [], {{}}, sys.argv[1:]
while rest and not rest[0].startswith("--"):
    words.append(rest.pop(0))
while rest:
    name, _, value = rest.pop(0).partition("=")
    options[name] = value or (rest.pop(0) if rest and not rest[0].startswith("--") else True)
command = " ".join(words)
typed = sys.stdin.read() if "--admin-password=@-" in sys.argv else None
call = {{"command": command, "options": options, "stdin": typed, "argv": sys.argv[1:]}}
call["environment"] = dict(os.environ)
with (folder / "calls.jsonl").open("a") as calls:
    calls.write(json.dumps(call) + "\\n")
if command == state["fails"]:
    sys.exit("ERROR: the service did not answer")

answer = ""
if command == "account show":
    answer = "01234567-89ab-cdef-0123-456789abcdef"
elif command == "group exists":
    answer = "true" if state["group"] else "false"
elif command == "group create":
    state["group"] = options["--name"]
elif command == "postgres flexible-server list":
    answer = state["server"] or ""
elif command == "postgres flexible-server create":
    state["server"], state["access"] = options["--name"], "Disabled"
    answer = "" if options["--output"] == "none" else "password: " + typed
elif command == "postgres flexible-server show":
    host = options["--name"] + ".postgres.database.azure.com"
    answer = state["access"] if "Access" in options["--query"] else host
elif command == "postgres flexible-server parameter show":
    answer = state["extensions"]
elif command == "postgres flexible-server parameter set":
    state["extensions"] = options["--value"]
elif command == "postgres flexible-server db list":
    answer = state["database"] or ""
elif command == "postgres flexible-server db create":
    state["database"] = options["--name"]
else:
    sys.exit("ERROR: no such command: " + command)
(folder / "state.json").write_text(json.dumps(state))
print(answer)
"""

WRITES = {
    "group create",
    "postgres flexible-server create",
    "postgres flexible-server parameter set",
    "postgres flexible-server db create",
}


@dataclass
class Azure:
    """A subscription, and the script on it."""

    folder: Path
    environment: dict[str, str] = field(
        default_factory=lambda: {"RECOLLECT_ADMIN_PASSWORD": PASSWORD}
    )

    def __post_init__(self) -> None:
        program = self.folder / "az"
        program.write_text(STAND_IN.format(python=sys.executable, folder=str(self.folder)))
        program.chmod(0o755)
        self.set(group=None, server=None, access=None, extensions="", database=None, fails=None)

    def set(self, **changes: str | None) -> None:
        path = self.folder / "state.json"
        state = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps(state | changes))

    def run(self) -> subprocess.CompletedProcess[str]:
        (self.folder / "calls.jsonl").write_text("")
        return subprocess.run(
            [SCRIPT],
            env={"PATH": f"{self.folder}{os.pathsep}/usr/bin{os.pathsep}/bin", **self.environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def calls(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "calls.jsonl").read_text().splitlines()]

    def call(self, command: str) -> dict[str, Any]:
        (call,) = [call for call in self.calls() if call["command"] == command]
        return call

    def written(self) -> list[str]:
        return [call["command"] for call in self.calls() if call["command"] in WRITES]


@pytest.fixture
def azure(tmp_path: Path) -> Azure:
    return Azure(tmp_path)


def test_a_first_run_makes_every_part_in_order_and_a_second_makes_nothing(azure: Azure) -> None:
    first = azure.run()
    assert first.returncode == 0, first.stderr
    assert azure.written() == [
        "group create",
        "postgres flexible-server create",
        "postgres flexible-server parameter set",
        "postgres flexible-server db create",
    ]
    second = azure.run()
    assert second.returncode == 0, second.stderr
    assert azure.written() == []
    assert "creating" not in second.stdout


def test_the_server_has_no_public_access_and_the_defaults_it_documents(azure: Azure) -> None:
    azure.run()
    options = azure.call("postgres flexible-server create")["options"]
    assert options["--public-access"] == "Disabled"
    assert (options["--name"], options["--location"], options["--version"]) == (
        "recollect-01234567",
        "westeurope",
        "17",
    )
    assert (options["--tier"], options["--sku-name"], options["--storage-size"]) == (
        "GeneralPurpose",
        "Standard_D2ds_v5",
        "128",
    )


def test_variables_choose_names_region_size_and_network(azure: Azure) -> None:
    azure.environment |= {
        "RECOLLECT_AZURE_GROUP": "g",
        "RECOLLECT_AZURE_REGION": "swedencentral",
        "RECOLLECT_AZURE_SERVER": "s",
        "RECOLLECT_AZURE_DATABASE": "d",
        "RECOLLECT_AZURE_ADMIN": "a",
        "RECOLLECT_AZURE_VERSION": "18",
        "RECOLLECT_AZURE_TIER": "Burstable",
        "RECOLLECT_AZURE_SIZE": "Standard_B1ms",
        "RECOLLECT_AZURE_STORAGE": "32",
        "RECOLLECT_AZURE_SUBNET": "/subnets/one",
        "RECOLLECT_AZURE_DNS_ZONE": "/zones/one",
    }
    assert azure.run().returncode == 0
    options = azure.call("postgres flexible-server create")["options"]
    expected = {
        "--resource-group": "g",
        "--location": "swedencentral",
        "--name": "s",
        "--admin-user": "a",
        "--version": "18",
        "--tier": "Burstable",
        "--sku-name": "Standard_B1ms",
        "--storage-size": "32",
        "--subnet": "/subnets/one",
        "--private-dns-zone": "/zones/one",
    }
    assert expected.items() <= options.items()
    assert "--public-access" not in options
    assert azure.call("postgres flexible-server db create")["options"]["--name"] == "d"


def test_the_password_reaches_azure_and_nothing_else(azure: Azure) -> None:
    finished = azure.run()
    assert azure.call("postgres flexible-server create")["stdin"] == PASSWORD
    for call in azure.calls():
        assert not any(PASSWORD in argument for argument in call["argv"])
        assert PASSWORD not in call["environment"].values()
    assert PASSWORD not in finished.stdout + finished.stderr


def test_the_end_names_the_host_and_a_verified_url_without_a_secret(azure: Azure) -> None:
    finished = azure.run()
    assert (
        f"postgresql://recollectadmin:<password>@{HOST}:5432/recollect?sslmode=verify-full"
        in finished.stdout
    )
    assert "private endpoint" in finished.stdout


@pytest.mark.parametrize("value", [None, ""])
def test_without_a_password_it_says_so_in_one_sentence_and_asks_azure_nothing(
    azure: Azure, value: str | None
) -> None:
    azure.environment = {} if value is None else {"RECOLLECT_ADMIN_PASSWORD": value}
    finished = azure.run()
    assert finished.returncode == 2
    assert finished.stderr.splitlines() == [
        "azure.sh: set RECOLLECT_ADMIN_PASSWORD to the administrator's password"
    ]
    assert azure.calls() == []


@pytest.mark.parametrize(
    "question",
    [
        "account show",
        "group exists",
        "postgres flexible-server list",
        "postgres flexible-server show",
        "postgres flexible-server parameter show",
        "postgres flexible-server db list",
    ],
)
def test_a_question_azure_does_not_answer_is_not_taken_for_a_missing_part(
    azure: Azure, question: str
) -> None:
    azure.set(fails=question)
    finished = azure.run()
    assert finished.returncode != 0
    assert azure.calls()[-1]["command"] == question
    assert "failed while asking" in finished.stderr
    assert "ready" not in finished.stdout


def test_a_server_that_could_not_be_made_is_made_by_the_next_run(azure: Azure) -> None:
    azure.set(fails="postgres flexible-server create")
    failed = azure.run()
    assert failed.returncode != 0
    assert "failed while creating server" in failed.stderr
    assert PASSWORD not in failed.stdout + failed.stderr
    azure.set(fails=None)
    assert azure.run().returncode == 0
    assert azure.written()[0] == "postgres flexible-server create"


def test_extensions_that_are_allowed_already_stay_allowed(azure: Azure) -> None:
    azure.set(extensions="pg_trgm, HSTORE")
    azure.run()
    assert (
        azure.call("postgres flexible-server parameter set")["options"]["--value"]
        == "PG_TRGM,HSTORE,VECTOR"
    )


def test_an_extension_whose_name_contains_vector_is_not_taken_for_it(azure: Azure) -> None:
    azure.set(extensions="VECTORSCALE")
    azure.run()
    assert (
        azure.call("postgres flexible-server parameter set")["options"]["--value"]
        == "VECTORSCALE,VECTOR"
    )


def test_an_existing_server_with_public_access_is_refused_and_left_as_it_is(azure: Azure) -> None:
    azure.set(group="recollect", server="recollect-01234567", access="Enabled")
    finished = azure.run()
    assert finished.returncode == 2
    assert "has public access" in finished.stderr
    assert azure.written() == []


def test_half_a_network_is_refused(azure: Azure) -> None:
    azure.environment["RECOLLECT_AZURE_SUBNET"] = "/subnets/one"
    finished = azure.run()
    assert finished.returncode == 2
    assert "require each other" in finished.stderr


def test_several_nodes_are_an_elastic_cluster_that_is_made_with_its_database(azure: Azure) -> None:
    azure.environment["RECOLLECT_AZURE_NODES"] = "3"
    finished = azure.run()
    assert finished.returncode == 0, finished.stderr
    options = azure.call("postgres flexible-server create")["options"]
    expected = {
        "--cluster-option": "ElasticCluster",
        "--node-count": "3",
        "--database-name": "recollect",
        "--public-access": "Disabled",
    }
    assert expected.items() <= options.items()
    assert "postgres flexible-server db create" not in azure.written()
    assert "recollect db distribute" in finished.stdout
    again = azure.run()
    assert (again.returncode, azure.written()) == (0, [])


def test_one_node_is_a_server_without_options_of_clusters(azure: Azure) -> None:
    finished = azure.run()
    options = azure.call("postgres flexible-server create")["options"]
    assert not {"--cluster-option", "--node-count", "--database-name"} & options.keys()
    assert "distribute" not in finished.stdout


@pytest.mark.parametrize("nodes", ["0", "21", "two", "-1", "1.5"])
def test_a_wrong_number_of_nodes_is_refused_before_azure_is_asked(azure: Azure, nodes: str) -> None:
    azure.environment["RECOLLECT_AZURE_NODES"] = nodes
    finished = azure.run()
    assert finished.returncode == 2
    assert "RECOLLECT_AZURE_NODES" in finished.stderr
    assert azure.calls() == []


def test_an_elastic_cluster_in_a_delegated_subnet_is_refused(azure: Azure) -> None:
    azure.environment |= {
        "RECOLLECT_AZURE_NODES": "2",
        "RECOLLECT_AZURE_SUBNET": "/subnets/one",
        "RECOLLECT_AZURE_DNS_ZONE": "/zones/one",
    }
    finished = azure.run()
    assert finished.returncode == 2
    assert "private endpoint" in finished.stderr


def test_without_the_azure_command_it_says_what_is_missing(azure: Azure) -> None:
    (azure.folder / "az").unlink()
    finished = azure.run()
    assert finished.returncode == 2
    assert "'az' is not on the PATH" in finished.stderr


def test_shellcheck_finds_nothing_and_would_find_something(tmp_path: Path) -> None:
    shellcheck = Path(sys.executable).with_name("shellcheck")
    assert subprocess.run([shellcheck, SCRIPT], timeout=60, check=False).returncode == 0
    careless = tmp_path / "careless.sh"
    careless.write_text("#!/usr/bin/env bash\nrm $1\n")
    assert (
        subprocess.run(
            [shellcheck, careless], stdout=subprocess.DEVNULL, timeout=60, check=False
        ).returncode
        == 1
    )
