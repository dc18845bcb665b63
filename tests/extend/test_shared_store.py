"""Records of a source of a module in the shared store."""

import asyncio

from tests.extend.modules import ModuleFolder, imported, settings_with
from tests.extend.test_own_sources import LEDGER
from tests.fakes import user_id
from tests.store.instances import instance, stored
from tests.stores import PATIENCE, needs_store, running_store

PICKY = LEDGER.replace("import asyncio", "import asyncio\n\nimport pydantic").replace(
    "\n\nclass Ledger:",
    """
    @pydantic.field_validator("level")
    @classmethod
    def picky(cls, level: str) -> str:
        return str(1 / RATES[level])


RATES = {"high": 1}


class Ledger:""",
    1,
)
"""A source whose validator changes what it accepts, and raises what is no ``ValueError``."""


@needs_store
async def test_an_entry_that_no_validator_of_its_module_reads_is_not_there(
    folder: ModuleFolder,
) -> None:
    place = folder.write(PICKY)
    cache = {"enabled": True, "ttl": 60}
    own = {"base_url": "http://module.invalid", "cache": cache, "retry": {"max_retries": 0}}
    points = "query($ids: [ID!]!) { users(ids: $ids) { points } }"
    async with running_store() as server:
        store = server.settings(rate_limits=False)
        settings = settings_with(place, {"sources": {"ledger": own}})
        settings = settings.model_copy(update={"store": store})
        async with instance(settings) as one, asyncio.timeout(PATIENCE):
            one.services.know(1)
            module = imported(place)
            module.LEDGER.rows = {user_id(1): {"points": 3, "level": "high"}}
            module.RATES["1.0"] = 1.0  # what is written can be read again
            await one.client.query(points, ids=[user_id(1)])
            await stored(server, 1)
        for rates in ({"high": 1}, {"high": 1, "1.0": 0}):
            module.RATES.clear()
            module.RATES.update(rates)
            async with instance(settings) as other, asyncio.timeout(PATIENCE):
                other.services.know(1)
                reply = await other.client.query(points, ids=[user_id(1)])

                assert (reply.data["users"], reply.errors) == ([{"points": 3}], [])
                assert other.lookups("unreadable") == 1
        assert module.LEDGER.asked == [[user_id(1)]] * 3
