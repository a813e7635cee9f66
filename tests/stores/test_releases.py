"""One training at a time, in whatever process."""

from __future__ import annotations

from pathlib import Path

import pytest

from nearline.schema.errors import NearlineError
from nearline.stores.releases import ReleaseStore


def test_a_second_training_is_refused_until_the_first_has_ended(tmp_path: Path) -> None:
    first, second = ReleaseStore(tmp_path), ReleaseStore(tmp_path)
    with first.training(), pytest.raises(NearlineError, match="another training is under way"), second.training():
        pass
    with second.training():
        pass
