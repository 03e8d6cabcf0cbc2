"""The library's entities, by class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tests.contract.suites.kinds import KINDS, Kind

KIND_OF: Final[Mapping[type[Any], Kind]] = {type(kind.make()[-1]): kind for kind in KINDS}
