"""Golden bytes: neither an engine nor a compiler may change a byte of any fold."""

from __future__ import annotations

import hashlib

import pytest
from golden_state import events, folded

EVENTS = "d7c3b7d1a284cc50838f70d2be929d0581060bed9f155f5465d697f986265fec"
GOLDEN = {
    "users": "93f600f0b078a69c13b6e86625e63099e61e1d95f826d6da0bff163b941c387d",
    "items": "172fe5fd740b53330e325267b94a3a6fd8e3ab5422b8b2597d7de34bf3fd7c0d",
    "presence": "b659828092910d262b607ba5cdcfe843656686c24c48e429dd53601eefd26589",
    "fold.affinity": "716a46eea3b4df0d7f892dfae69263900f4ddf13a04789fdb59044fe1922cd9b",
    "fold.demographics": "cff36037f0fd89d624559bcf435694b4a2d63b55e1d3c989de635c76ab903347",
    "fold.history": "0a8e443106d92c7bfab86125bbe3fa570640a8fb00466e62b757e87438e161e5",
    "fold.item_totals": "8e6d30c2cfa024d9dddfe7e59ebf602cc5dc901d48577fdad6b8e90228915045",
    "fold.item_surfaces": "43726a8b94fe4e6b9de85b4eae8e161d46d0d4dc59ed7300b53d838180754ed0",
    "fold.item_counts_7d": "cd795193d61ae9374abe3f31b00e9d3a048d82f4d839b25863239cee0e5cbc1f",
    "fold.last_items": "e2f0ae787ba8835029910339f0abcaea92b36e70dec6c343c93b4ee437e58fd9",
    "fold.searches": "d61542a37b9bf4259eeee836bb615b31b4d1ead467558659618d507bed21aab0",
    "fold.popularity": "4a892bd32782cb8a9e559e25407267a82421c5c66cd92fa9371450abddbe876d",
    "fold.session": "b8d58a0cb8f30908dc563d57d4bf177a40bb44b25edf409ecacf1128ebe1d1e2",
    "fold.time_since": "1e89c67f9be0747248baf0a0612bf4a5793630a01bd8296f8e2dcc4e8f3e9f95",
    "fold.user_totals": "192590f379da9c1bbfafcf8e66fe1f0bdfa2af407285e655cf4d9c736bbce042",
    "fold.user_counts_1d": "ee81e1cc634fda3fed27829a23791a2014da35f70c48eed386e89b161f8b6b48",
    "fold.user_counts_7d": "b845545d6a67737ee0d77c66d24e316d85df5f968b3ab8404d07da7bc9792694",
    "fold.category_counts": "4ec84f50ba5abdf33007792c11ec5ca1f1cb29dc8431235adad827149747fa3b",
    "fold.first_items": "6b55cb02134c52740c4bd50790d44d759d99f3b63ec1bb24058bc6c8e030b952",
    "fold.ignored": "52b896721482ec0755efabd8d1936db9b259fed432a6b6cebb0b0acb8f8e2849",
    "fold.item_distinct": "3fe53ae0f3d885d6996dd51e8f571e311408c2e9ba5c3f12a756026e069b9e04",
    "fold.price_bands": "fd62f69a5176bd25ecec7feb4c3d282730d7eda99fad20c5f255427643a13507",
    "fold.top_items": "9395b7b7f4cc3e6dfbb76e945bd334a4a53274ffed09a9b906b3b3cac71fdcc5",
    "fold.user_value_numbers_7d": "dde7705f2e88824d5c44597f593b3d588274a385af792031c9dedbad935c42de",
    "part.suppression.index": "6160e6994d267cbe0de2b07adda09044b5dfce47d21fea0e3b545e21ed1f5c9a",
    "part.suppression.keys": "895e4760768f7879ed37ee87ef8a17de257cbdf119c7b2d72e4fc4aca8831052",
    "part.suppression.until": "8934db039bccb264875df2354b5818ad3b48d2c6ddb58d6271e6ff51cf929078",
}


@pytest.fixture(scope="module")
def digests() -> dict[str, str]:
    return folded()


def test_the_events_are_those_of_the_record(digests: dict[str, str]) -> None:
    assert set(digests) == set(GOLDEN)
    assert hashlib.sha256(events().tobytes()).hexdigest() == EVENTS


@pytest.mark.parametrize("name", GOLDEN)
def test_no_byte_has_changed(name: str, digests: dict[str, str]) -> None:
    """After a change that is meant, put the new value here and say why: kept state must be replayed."""
    assert digests[name] == GOLDEN[name]
