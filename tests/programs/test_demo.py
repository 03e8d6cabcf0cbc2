"""The parts of the demo, without a database: source, linter, grades, report and passages."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from pathlib import Path
from uuid import uuid4

import pytest
from rich.console import Console

from domain import Category, Finding, Outcome, Severity
from domain.errors import ConfigurationError
from domain.values.embedding import to_vector
from domain.values.search import SearchHit
from repositories.cli.demo import embedder, linter, report, source
from repositories.cli.demo.embedder import WordLlamaEmbedder
from repositories.cli.demo.grades import confidence, grade
from repositories.cli.demo.passages import Section, document_sections, packed, passages
from repositories.cli.demo.source import DocumentationFile
from repositories.cli.sanitizing import shown, storable
from repositories.cli.tables import hit_table

SHOP = '''"""The customers of a shop, and how many years the shop stores their invoices."""
import subprocess
import unused  # noqa: F401


class Customer:
    """A person who bought something here, with an address for the parcel.

    Customers are stored for ten years, because the law requires their invoices for that long.
    """

    def charge(self, command, seen=[]):
        """Charge the customer by running a command that the payment provider gave us."""
        assert command
        exec(command)
        try:
            subprocess.run(command)
        except:
            pass
        return seen


def short():
    """Too short."""
'''


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    (folder / "docs").mkdir(parents=True)
    (folder / "customers.py").write_text(SHOP)
    (folder / "broken.py").write_text("def (:\n")
    (folder / "README.md").write_text(
        "# Shop\n\nSells things.\n\n## Returns\n\nGoods are taken back for thirty days.\n"
    )
    (folder / "docs" / "taxes.rst").write_text(
        "Taxes\n=====\n\nVAT is added when the invoice is written.\n"
    )
    (folder / ".venv").mkdir()
    (folder / ".venv" / "theirs.py").write_text("import os\n")
    return folder


@pytest.mark.parametrize(
    ("code", "severity", "category"),
    [
        ("S101", Severity.MINOR, Category.SECURITY),
        ("S102", Severity.CRITICAL, Category.SECURITY),
        ("S608", Severity.MAJOR, Category.SECURITY),
        ("SIM117", Severity.MINOR, Category.STYLE),
        ("F821", Severity.MAJOR, Category.CORRECTNESS),
        ("F401", Severity.MEDIUM, Category.CORRECTNESS),
        ("BLE001", Severity.MEDIUM, Category.CORRECTNESS),
        ("B006", Severity.MAJOR, Category.CORRECTNESS),
        ("D103", Severity.MINOR, Category.DOCUMENTATION),
        ("DTZ005", Severity.MEDIUM, Category.CORRECTNESS),
        ("PERF401", Severity.MEDIUM, Category.PERFORMANCE),
        ("E501", Severity.MINOR, Category.STYLE),
        ("E999", Severity.CRITICAL, Category.CORRECTNESS),
        ("invalid-syntax", Severity.CRITICAL, Category.CORRECTNESS),
        ("XYZ1", Severity.MINOR, Category.STYLE),
    ],
)
def test_the_longest_known_prefix_of_a_rule_grades_it(
    code: str, severity: Severity, category: Category
) -> None:
    assert grade(code) == (severity, category)


def test_a_finding_with_a_safe_repair_has_the_highest_confidence() -> None:
    assert confidence("safe") > confidence("unsafe") > confidence(None)


def test_the_linter_reports_active_and_suppressed_violations(shop: Path) -> None:
    lint_report = linter.lint(shop)
    assert lint_report.linter.startswith("ruff ")
    assert lint_report.duration_ms > 0
    by_code = {violation.code: violation for violation in lint_report.violations}
    assert {"S102", "E722", "B006", "F401", "invalid-syntax"} <= by_code.keys()
    assert [violation.code for violation in lint_report.violations if violation.suppressed] == [
        "F401"
    ]
    assert by_code["S102"].path == shop / "customers.py"
    assert by_code["S102"].line == 15
    assert ".venv" not in str([violation.path for violation in lint_report.violations])


def test_the_linter_writes_no_files_and_ignores_the_configuration_of_the_source(shop: Path) -> None:
    (shop / "pyproject.toml").write_text("[tool.ruff.lint]\nignore = ['S102']\n")
    before = sorted(shop.rglob("*"))
    assert "S102" in {violation.code for violation in linter.lint(shop).violations}
    assert sorted(shop.rglob("*")) == before


@pytest.mark.parametrize("ignore_file", [".gitignore", ".ignore", ".git/info/exclude"])
@pytest.mark.parametrize("position", ["above", "inside"])
def test_a_source_in_an_ignored_folder_is_read_and_linted(
    shop: Path, ignore_file: str, position: str
) -> None:
    top = shop.parent if position == "above" else shop
    (top / ".git").mkdir()
    (top / ignore_file).parent.mkdir(exist_ok=True)
    (top / ignore_file).write_text("*\n")
    assert len(source.folder(shop).files) == 2
    assert {"S102", "invalid-syntax"} <= {
        violation.code for violation in linter.lint(shop).violations
    }


@pytest.mark.parametrize(
    "place",
    [".hidden/shop", ".shop", ".venv", ".tox/shop", "node_modules/shop", "venv/lib/site-packages"],
)
def test_a_source_that_a_linter_excludes_by_its_name_is_read_when_it_is_named(
    shop: Path, place: str
) -> None:
    named = shop.parent / place
    named.parent.mkdir(parents=True, exist_ok=True)
    shop.rename(named)
    assert [path.name for path in source.folder(named).files] == ["broken.py", "customers.py"]
    assert "S102" in {violation.code for violation in linter.lint(named).violations}


def test_the_default_source_is_read_from_an_environment_that_is_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site_packages = tmp_path / ".venv" / "lib" / "site-packages"
    information = site_packages / "shelf-1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: shelf\nVersion: 1.0\n\nHolds books.\n"
    )
    (site_packages / "shelf").mkdir()
    (site_packages / "shelf" / "__init__.py").write_text("import os\n")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".venv" / ".gitignore").write_text("*\n")
    monkeypatch.syspath_prepend(site_packages)
    package = source.installed_package("shelf")
    assert [package.relative(path) for path in package.files] == ["shelf/__init__.py"]
    assert "F401" in {violation.code for violation in linter.lint(package.root).violations}


def test_a_folder_is_read_with_its_readme_and_its_documents(shop: Path) -> None:
    folder = source.folder(shop)
    assert folder.repo == "local/shop"
    assert [folder.relative(path) for path in folder.files] == [
        "shop/broken.py",
        "shop/customers.py",
    ]
    assert [document.name for document in folder.documents] == [
        "shop/README.md",
        "shop/docs/taxes.rst",
    ]


def test_the_head_changes_with_every_file_and_document_and_with_nothing_else(shop: Path) -> None:
    head = source.folder(shop).head()
    assert len(head) == 40
    (shop / "broken.py").touch()
    assert source.folder(shop).head() == head
    (shop / "broken.py").write_text("def f(): ...\n")
    changed = source.folder(shop).head()
    (shop / "README.md").write_text("# Another shop\n")
    assert len({head, changed, source.folder(shop).head()}) == 3


def test_the_default_is_an_installed_package_with_its_description() -> None:
    package = source.installed_package()
    assert package.repo == f"installed/{source.DEFAULT_PACKAGE}"
    assert package.version
    assert len(package.files) > 20
    assert len(package.documents[0].text) > 1_000


@pytest.mark.parametrize("path", ["missing", "empty", "file.py"])
def test_a_path_without_python_source_is_refused(tmp_path: Path, path: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.py").touch()
    with pytest.raises(ConfigurationError, match=r"is not a folder|no Python file"):
        source.folder(tmp_path / path)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse names beyond UTF-8")
def test_a_file_whose_name_is_not_utf8_is_left_out(shop: Path) -> None:
    before = source.folder(shop).files
    (shop / os.fsdecode(b"b\xff.py")).write_text("import os\n")
    assert source.folder(shop).files == before
    assert all(violation.path.is_file() for violation in linter.lint(shop).violations)


def test_a_folder_whose_files_are_too_large_is_refused_with_the_bound(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "MAX_FILE_BYTES", 1)
    with pytest.raises(ConfigurationError, match="no Python file of at most 1e-06 MB"):
        source.folder(shop)


def test_a_folder_with_too_many_files_is_refused(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "MAX_FILES", 1)
    with pytest.raises(ConfigurationError, match="has 2 Python files: name a smaller folder"):
        source.folder(shop)


def test_documentation_has_sections_of_documents_and_docstrings(shop: Path) -> None:
    chunks = {chunk.title: chunk for chunk in passages(source.folder(shop))}
    names = ["shop.customers", "shop.customers.Customer", "shop.customers.Customer.charge"]
    assert list(chunks) == ["Shop", "Returns", "Taxes", *names]
    assert chunks["Returns"].content == "Goods are taken back for thirty days."
    assert chunks["Returns"].source == "shop/README.md"
    customer = chunks["shop.customers.Customer"]
    assert (customer.source, customer.language, customer.source_type) == (
        "shop/customers.py",
        "python",
        "doc",
    )
    assert customer.summary == "A person who bought something here, with an address for the parcel."
    assert customer.metadata_ == {"kind": "class"}


def test_a_repeated_text_is_one_passage(shop: Path) -> None:
    (shop / "copy.py").write_text(SHOP)
    chunks = passages(source.folder(shop))
    assert len({chunk.content for chunk in chunks}) == len(chunks)
    assert len({chunk.chunk_id for chunk in chunks}) == len(chunks)


def test_paragraphs_are_packed_without_loss() -> None:
    text = (
        "\n\n".join(f"paragraph {number} " + "word " * (number * 7) for number in range(30))
        + "\n\n"
        + "x" * 950
    )
    parts = list(packed(text, 400))
    assert all(0 < len(part) <= 400 for part in parts)
    assert "".join("".join(parts).split()) == "".join(text.split())
    assert parts[0].count("paragraph") > 1


def test_an_invalid_escape_sequence_causes_no_warning(shop: Path) -> None:
    (shop / "doubtful.py").write_text(
        '"""A pattern, with an escape that Python will refuse one day: \\d, for a digit."""\n'
    )
    assert "shop.doubtful" in {chunk.title for chunk in passages(source.folder(shop))}


def test_a_blank_text_has_no_passage() -> None:
    assert list(packed(" \n\n \n")) == []


def test_a_document_without_headings_is_one_section() -> None:
    (section,) = document_sections(
        DocumentationFile(name="shop/notes.txt", text="# not a heading\n\ntext")
    )
    assert section == Section(
        name="shop/notes.txt:notes.txt",
        source="shop/notes.txt",
        kind="document",
        language=None,
        title="notes.txt",
        text="# not a heading\n\ntext",
    )


def test_a_review_declares_every_finding_and_stores_the_most_severe(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "MAX_FINDINGS", 3)
    folder = source.folder(shop)
    result = report.review_report(folder, linter.lint(folder.root), head_sha=folder.head())
    assert len(result.findings) == 3
    assert result.left_out == result.review.findings_total - 3 > 0
    # One finding is suppressed, and it is not among the three most severe.
    assert (result.review.suppressions_applied, result.suppressed, result.suppressions) == (
        1,
        0,
        (),
    )
    assert result.findings[0].severity is Severity.CRITICAL
    declared = (
        result.review.findings_critical,
        result.review.findings_major,
        result.review.findings_medium,
        result.review.findings_minor,
    )
    assert sum(declared) == result.review.findings_total
    assert result.review.conclusion == "failure"
    assert result.telemetry.duration_ms == result.review.duration_ms


def test_a_suppressed_finding_becomes_a_suppressed_memory(shop: Path) -> None:
    folder = source.folder(shop)
    result = report.review_report(folder, linter.lint(folder.root), head_sha=folder.head())
    (suppressed,) = [finding for finding in result.findings if finding.suppressed]
    assert suppressed.title.endswith("(F401)")
    assert suppressed.file_path == "shop/customers.py"
    (entry,) = result.suppressions
    assert (entry.pattern, entry.finding_ids) == ("# noqa: F401", (suppressed.id,))
    outcomes = {memory.finding_id: memory.outcome for memory in result.memories}
    assert outcomes[suppressed.id] is Outcome.SUPPRESSED
    assert set(outcomes.values()) == {Outcome.SUPPRESSED, Outcome.ACCEPTED}
    texts = [
        memory.finding_text for memory in result.memories if memory.outcome is Outcome.ACCEPTED
    ]
    assert len(set(texts)) == len(texts)
    assert "exec builtin: Use of `exec` detected" in texts


def test_embeddings_are_real_and_need_no_network() -> None:
    model = WordLlamaEmbedder.load()
    texts = [
        "a customer bought something",
        "a client purchased an item",
        "the compiler emits machine code",
    ]
    reference, near, far = (
        to_vector(embedding).to_numpy() for embedding in asyncio.run(model.embed(texts))
    )
    assert reference.shape == (embedder.DIMENSIONS,)
    assert reference @ near > reference @ far
    assert to_vector(asyncio.run(model.embed([texts[0]]))[0]).to_list() == reference.tolist()
    assert (
        model.count_tokens(["word", "word word word word"])[0]
        < model.count_tokens(["word word word word"])[0]
    )
    assert model.count_tokens([]) == []


def test_loading_embeddings_does_not_configure_logging() -> None:
    before = list(logging.getLogger().handlers)
    WordLlamaEmbedder.load()
    assert logging.getLogger().handlers == before


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedder, "find_spec", lambda _: None)
    monkeypatch.setattr(linter, "find_spec", lambda _: None)
    with pytest.raises(ConfigurationError, match=r"pip install 'recollect\[demo\]'"):
        WordLlamaEmbedder.load()
    with pytest.raises(ConfigurationError, match=r"pip install 'recollect\[demo\]'"):
        linter.require_linter()


def test_characters_that_postgresql_cannot_store_are_replaced() -> None:
    assert storable("a\0b\ud800c") == "a�b?c"


def test_shown_text_has_no_control_characters() -> None:
    assert shown("one\ntwo \x1b[31mred\x07 and more", 100) == "one two [31mred and more"
    assert len(shown("word " * 100, 40)) <= 40


def test_a_table_shows_scores_ranks_words_and_whether_it_is_exact() -> None:
    finding = Finding(
        review_id=uuid4(),
        repo="a/b",
        file_path="api.py",
        start_line=3,
        severity=Severity.MAJOR,
        category=Category.SECURITY,
        confidence=90,
        title="[red]not markup[/red]",
    )
    hit = SearchHit(
        item=finding,
        score=0.5,
        distance=0.25,
        vector_rank=2,
        keyword_rank=1,
        matched_terms=("red",),
    )
    console = Console(width=120, no_color=True, force_terminal=False)
    with console.capture() as captured:
        console.print(hit_table("[bold]?", [hit], exact=False, how="by words"))
        console.print(hit_table("none", [], exact=True, how="by words"))
    output = captured.get()
    for part in (
        "0.500",
        "0.250",
        "v2 w1",
        "api.py:3",
        "major, security",
        "[red]not markup[/red]",
        "words: red",
        "[bold]?",
    ):
        assert part in output
    assert "by words; through the approximate index" in output
    assert "nothing" in output
    assert "by words; exact" in output
    assert "\x1b" not in output
