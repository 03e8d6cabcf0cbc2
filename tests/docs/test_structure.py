"""An entity is named in few files, and public names have docstrings."""

from __future__ import annotations

from tests.docs.reference import structure


def test_an_entity_is_added_in_six_files() -> None:
    files = structure.files_of_an_entity()
    assert "repositories/registry.py" in files
    assert len(files) <= 6, f"an entity is named in more files than CONTRIBUTING.md lists: {files}"


def test_every_public_name_has_a_docstring() -> None:
    assert structure.undocumented() == []
