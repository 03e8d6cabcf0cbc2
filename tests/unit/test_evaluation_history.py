"""Collections from the history of git repositories."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from domain import ConfigurationError, InvalidInput
from repositories.cli.evaluation.collection import Collection
from repositories.cli.evaluation.history.building import History, build
from repositories.cli.evaluation.history.commits import Commit, Dropped
from repositories.cli.evaluation.history.git import GitRepository
from repositories.cli.evaluation.history.languages import language_of
from repositories.cli.evaluation.history.splitting import PASSAGE_LINES, passages

TOPICS = ("apple", "banana", "cherry", "damson", "elder", "fig", "grape", "hazel", "iris", "kiwi")


class GitHistory:
    """A repository that a test writes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *arguments: str) -> str:
        environment = {name: value for name, value in os.environ.items() if "GIT_" not in name}
        for role in ("AUTHOR", "COMMITTER"):
            environment |= {f"GIT_{role}_NAME": "A", f"GIT_{role}_EMAIL": "a@example.com"}
        done = subprocess.run(
            ["git", "-C", str(self.folder), *arguments],
            env={**environment, "GIT_CONFIG_GLOBAL": os.devnull},
            capture_output=True,
            check=True,
            text=True,
        )
        return done.stdout.strip()

    def commit(self, subject: str, author: str = "A <a@example.com>", **files: str | None) -> str:
        """Write the files, whose names have a `__` in place of the dot, and commit them."""
        for name, text in files.items():
            path = self.folder / name.replace("__", ".")
            if text is None:
                path.unlink()
            else:
                path.write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", f"--author={author}", "-m", subject)
        return self.git("rev-parse", "HEAD")


def functions(*names: str, body: str = "pass") -> str:
    return "\n\n".join(
        "\n".join([f"def {name}():", *(f"    {body}  # {name} {n}" for n in range(30))])
        for name in names
    )


@pytest.fixture
def repository(tmp_path: Path) -> GitHistory:
    """A base commit with ten functions in one file, and a commit for each function."""
    history = GitHistory(tmp_path / "project")
    history.commit("Add the fruits of the garden", fruits__py=functions(*TOPICS))
    return history


def change(history: GitHistory, topic: str, name: str = "fruits.py") -> str:
    path = history.folder / name
    path.write_text(path.read_text().replace(f"# {topic} 7", f"# {topic} changed"))
    history.git("add", "--all")
    history.git("commit", "--quiet", "-m", f"Improve the taste of {topic} (#12)")
    return history.git("rev-parse", "HEAD")


def collect(history: GitHistory, folder: Path, *, base: str | None = None) -> History:
    repository = GitRepository.open(history.folder)
    return build(repository, folder, queries=200, base=base, advance=lambda *_: None)


def test_the_passage_that_a_commit_changes_is_relevant(
    repository: GitHistory, tmp_path: Path
) -> None:
    base = repository.git("rev-parse", "HEAD")
    commits = {change(repository, topic): topic for topic in TOPICS}
    built = collect(repository, tmp_path / "out", base=base)
    assert (built.queries, built.judgements, built.files, built.commits) == (10, 10, 1, 10)
    collection = Collection(tmp_path / "out")
    collection.require_complete()
    texts = {document.id: document.text for _, document in collection.documents()}
    judgements = collection.judgements()
    for query in collection.queries():
        topic = commits[query.id]
        assert query.text == f"Improve the taste of {topic}"
        [relevant] = judgements[query.id]
        assert f"# {topic} 7" in texts[relevant]


def test_lines_are_traced_through_renames_moves_and_side_branches(
    repository: GitHistory, tmp_path: Path
) -> None:
    base = repository.git("rev-parse", "HEAD")
    repository.git("mv", "fruits.py", "garden.py")
    repository.commit("Rename the file of the fruits")
    moved = "import os\n\n\n" + (repository.folder / "garden.py").read_text()
    repository.commit("Import os first of all", garden__py=moved)
    repository.git("switch", "--quiet", "-c", "side")
    commits = {change(repository, topic, "garden.py"): topic for topic in TOPICS}
    repository.git("switch", "--quiet", "main")
    repository.commit("Write about the garden at length", README__md="A garden.")
    repository.git("merge", "--quiet", "--no-ff", "side", "-m", "Merge the side branch")
    built = collect(repository, tmp_path / "out", base=base)
    assert built.dropped[Dropped.MERGE] == 1
    collection = Collection(tmp_path / "out")
    texts = {document.id: document.text for _, document in collection.documents()}
    judgements = collection.judgements()
    assert commits.keys() <= judgements.keys()
    for commit, topic in commits.items():
        [relevant] = judgements[commit]
        assert relevant.startswith("fruits.py:")
        assert f"# {topic} 7" in texts[relevant]


def test_a_commit_without_a_query_is_counted_with_its_reason(
    repository: GitHistory, tmp_path: Path
) -> None:
    base = repository.git("rev-parse", "HEAD")
    for topic in TOPICS:
        change(repository, topic)
    repository.commit("Add a file about nothing", other__py=functions("nothing"))
    repository.commit("Explain nothing in other words", other__py=functions("nothing", body="0"))
    repository.commit("Explain the garden to gardeners", README__md="A garden.")
    many = {f"file{n}__py": functions(f"many{n}") for n in range(7)}
    repository.commit("Add many files at once", **many)
    many = {name: text + "\n# more" for name, text in many.items()}
    repository.commit("Change many files at once", **many)
    again = (repository.folder / "fruits.py").read_text().replace("apple changed", "apple again")
    repository.commit("Improve the taste of apple (#13)", fruits__py=again)
    built = collect(repository, tmp_path / "out", base=base)
    assert built.queries == 10
    assert built.dropped == {
        Dropped.NO_SOURCE: 3,
        Dropped.NO_PASSAGE: 1,
        Dropped.DUPLICATE: 1,
        Dropped.MANY_FILES: 1,
    }
    assert dict(built.dropped_figures())["changes more than 5 source files"] == "1"


@pytest.mark.parametrize(
    ("subject", "author", "reason"),
    [
        ("Bump ruff from 0.1.0 to 0.2.0", "A", Dropped.RELEASE),
        ("Release version 2.3", "A", Dropped.RELEASE),
        ("v1.2.3", "A", Dropped.RELEASE),
        ("Update dependencies of the project", "A", Dropped.RELEASE),
        ("Fix the parser of dates", "dependabot[bot] <x@example.com>", Dropped.BOT),
        ("Fix the parser of dates", "pre-commit-ci <x@example.com>", Dropped.BOT),
        ("[3.12] Fix the parser of dates", "A", Dropped.BACKPORT),
        ("[PR #1/abc backport][3.9] Fix dates", "A", Dropped.BACKPORT),
        ('Revert "Fix the parser of dates"', "A", Dropped.REVERT),
        ("Merge branch 'main' into side", "A", Dropped.MERGE),
        ("Fix typo", "A", Dropped.FEW_WORDS),
        ("fix: a (#1)", "A", Dropped.FEW_WORDS),
        ("Fix the parser of dates", "Abbott <abbot@example.com>", None),
        ("Upgrade the parser of dates", "A", None),
    ],
)
def test_a_subject_is_a_query_unless_there_is_a_reason(
    subject: str, author: str, reason: Dropped | None
) -> None:
    commit = Commit(sha="1", parents=("0",), author=author, subject=subject, files=("a.py",))
    assert commit.drop_reason is reason


def test_a_query_has_no_reference_and_no_type() -> None:
    def query(subject: str) -> str:
        return Commit(sha="1", parents=("0",), author="A", subject=subject, files=()).query

    assert query("fix(router): keep the slash (#123)") == "router keep the slash"
    assert query("Keep the slash, fixes #123") == "Keep the slash,"
    assert query("Fix C# parsing of #fragments") == "Fix C# parsing of #fragments"


def test_a_passage_ends_before_a_definition_in_any_language() -> None:
    lines = functions(*TOPICS)
    parts = list(passages("fruits.py", lines))
    assert [part.text.split("(")[0] for part in parts] == [f"def {topic}" for topic in TOPICS]
    assert "\n".join(part.text for part in parts).count("#") == lines.count("#")
    braces = "\n\n".join(f"func f{n}() {{\n" + "\tx()\n" * 25 + "}" for n in range(9))
    assert [part.text.split("(")[0] for part in passages("a.go", braces)] == [
        f"func f{n}" for n in range(9)
    ]
    dense = list(passages("a.c", "x;\n" * 500))
    assert max(part.last - part.first + 1 for part in dense) <= PASSAGE_LINES
    assert [part.first for part in dense[1:]] == [part.last + 1 for part in dense[:-1]]
    assert list(passages("a.c", "\n\n \n")) == []


def test_languages_are_known_by_suffix_and_foreign_code_is_left_out() -> None:
    assert language_of("src/a.RS") == "rust"
    assert language_of("src/App.vue") == "vue"
    for path in ("README.md", "Makefile", "vendor/a.go", "web/node_modules/b.js", "a.min.js"):
        assert language_of(path) is None


def test_a_folder_that_is_no_repository_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is not a git repository"):
        GitRepository.open(tmp_path)
    with pytest.raises(ConfigurationError, match="is not a folder"):
        GitRepository.open(tmp_path / "nowhere")
    GitHistory(tmp_path / "empty")
    with pytest.raises(ConfigurationError, match="has no commit"):
        GitRepository.open(tmp_path / "empty")


def test_a_shallow_clone_is_refused(repository: GitHistory, tmp_path: Path) -> None:
    change(repository, TOPICS[0])
    clone = tmp_path / "clone"
    source = f"file://{repository.folder}"
    repository.git("clone", "--quiet", "--depth=1", source, str(clone))
    with pytest.raises(ConfigurationError, match="run `git fetch --unshallow`"):
        GitRepository.open(clone)


def test_a_history_that_is_too_short_is_refused(repository: GitHistory, tmp_path: Path) -> None:
    for topic in TOPICS[:4]:
        change(repository, topic)
    with pytest.raises(InvalidInput, match=r"the history is too short: .* at least 10"):
        collect(repository, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_tree_without_source_is_refused(tmp_path: Path) -> None:
    history = GitHistory(tmp_path / "texts")
    history.commit("Write about the garden", README__md="A garden.")
    with pytest.raises(InvalidInput, match="has no source file of a known language"):
        collect(history, tmp_path / "out")


def test_an_unsuitable_folder_or_base_is_refused(repository: GitHistory, tmp_path: Path) -> None:
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "file").touch()
    with pytest.raises(ConfigurationError, match="is not empty"):
        collect(repository, tmp_path / "used")
    with pytest.raises(ConfigurationError, match="git failed: fatal"):
        collect(repository, tmp_path / "out", base="nowhere")
    with pytest.raises(ConfigurationError, match="git failed: fatal"):
        collect(repository, tmp_path / "out", base="--all")
