"""The registry of repositories."""

from __future__ import annotations

import pytest

from domain import FindingRepository, NotRegistered, RegistrationError, Review, ReviewRepository
from repositories.fakes import FakeDatabase
from repositories.fakes.repository import FakeRepository
from repositories.fakes.reviews import FakeReviewReader
from repositories.registry import FAKE, LIBRARY, POSTGRES, Registration, Registry, resolve
from tests.contract.ports import UNITS, parts_of


@pytest.mark.parametrize("unit", UNITS)
def test_the_ports_have_a_property_for_each_registered_repository(unit: str) -> None:
    assert {name for name, _ in parts_of(UNITS[unit])} == {each.name for each in LIBRARY}


@pytest.mark.parametrize("registration", LIBRARY, ids=lambda each: str(each.name))
def test_every_import_path_of_the_library_leads_to_a_class(registration: Registration) -> None:
    implementations = (registration.postgres, registration.fake)
    targets = [
        registration.port,
        registration.reader_port,
        *(each.reader for each in implementations),
        *(each.repository for each in implementations),
    ]
    assert all(isinstance(resolve(target), type) for target in targets if target is not None)


def test_a_repository_without_a_class_of_its_own_gets_the_generic_methods() -> None:
    reviews = FakeDatabase().unit_of_work().repository(Review)
    assert isinstance(reviews, FakeReviewReader)
    assert isinstance(reviews, FakeRepository)
    assert type(reviews).__name__ == "FakeReviewRepository"


def test_a_name_an_entity_and_a_port_are_registered_once() -> None:
    for other in (
        Registration("reviews", None),
        Registration("other", Review),
        Registration("other", None, port=ReviewRepository),
    ):
        with pytest.raises(RegistrationError, match="registered twice"):
            LIBRARY.extended([other])


def test_a_repository_that_is_not_registered_is_refused_with_advice() -> None:
    empty = Registry([])
    with pytest.raises(NotRegistered, match=r"Review is not registered .* `repositories.register`"):
        empty.for_entity(Review)
    with pytest.raises(NotRegistered, match="FindingRepository"):
        empty.for_port(FindingRepository, writes=True)
    with pytest.raises(NotRegistered, match="'labels'"):
        empty.named("labels")


def test_opening_a_unit_of_work_creates_no_repository() -> None:
    uow = FakeDatabase().unit_of_work()
    assert vars(uow)["_repositories"] == {}
    assert uow.reviews is uow.reviews
    assert {type(each) for each in vars(uow)["_repositories"].values()} == {type(uow.reviews)}


def test_both_stores_have_generic_repositories() -> None:
    assert [resolve(each.reader).__name__ for each in (POSTGRES, FAKE)] == [
        "ReadRepository",
        "FakeReadRepository",
    ]


def test_an_entity_in_place_of_a_port_is_refused_with_the_other_method() -> None:
    with pytest.raises(NotRegistered, match=r"Review is an entity.*write `repository\(Review\)`"):
        LIBRARY.for_port(Review, writes=True)
    with pytest.raises(NotRegistered, match=r"is a port.*write `provide\(ReviewRepository\)`"):
        LIBRARY.for_entity(ReviewRepository)
