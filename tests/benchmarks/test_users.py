"""The ids of the users of the upstream."""

import re
from uuid import UUID

from app.expressions.ids import UUID_PATTERN
from benchmarks.users import USERS, Ids, user_id


def test_ids_are_uuids_that_the_gateway_accepts() -> None:
    for number in range(1, USERS + 1):
        for ids in Ids:
            assert re.fullmatch(UUID_PATTERN, user_id(number, ids))
        assert UUID(user_id(number)).version == 4


def test_every_user_has_a_different_id() -> None:
    for ids in Ids:
        assert len({user_id(number, ids) for number in range(1, USERS + 1)}) == USERS


def test_an_id_is_computed_from_the_number_of_its_user() -> None:
    # md5 of "user-1" is d6d7705392bc7af633328bea8c4c6904
    assert user_id(1) == "d6d77053-92bc-4af6-b332-8bea8c4c6904"
    assert user_id(7, Ids.PATTERNED) == "00000000-0000-4000-8000-000000000007"
