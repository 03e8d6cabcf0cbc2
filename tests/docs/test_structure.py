"""The structure keeps its limits."""

from __future__ import annotations

from tests.docs.reference import structure


def test_no_import_points_upwards_and_no_private_name_is_used() -> None:
    assert structure.upward_imports() == []
    assert structure.private_uses() == []


def test_an_entity_touches_few_files() -> None:
    files = structure.files_of_an_entity()
    assert "repositories/registry.py" in files
    assert len(files) <= 7, files


def test_few_public_names_have_no_docstring() -> None:
    assert len(structure.undocumented()) <= 10, structure.undocumented()
