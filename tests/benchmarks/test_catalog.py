"""The peers, and how they are chosen."""

import pytest

from benchmarks.bars import BARS
from benchmarks.catalog import REFERENCE, catalog, choose
from benchmarks.errors import BenchmarkError, UnavailableError
from benchmarks.ours import NAME
from benchmarks.peer import Kit, PeerAddress
from benchmarks.tools import Node, Tools
from benchmarks.workloads import USUAL, UpstreamDoor

NO_NODE = Tools(nginx="nginx", wrk="wrk", node=None)
TOOLS = Tools(nginx="nginx", wrk="wrk", node=Node("node", "npm", "v24.0.0"))
ADDRESS = PeerAddress(9401, "http://127.0.0.1:9500")


def test_our_gateway_is_the_first_peer_and_the_reference_is_listed() -> None:
    names = [peer.name for peer in catalog(NO_NODE)]

    assert names[0] == NAME
    assert REFERENCE in names
    assert len(names) == len({*names})


def test_the_usual_peers_are_chosen_by_default() -> None:
    chosen = [peer.name for peer in choose(catalog(NO_NODE), None)]

    assert "hive-jit" not in chosen
    assert "hive" in chosen


def test_peers_are_chosen_by_name_in_the_order_of_the_catalog() -> None:
    chosen = choose(catalog(NO_NODE), ["hive-jit", NAME])

    assert [peer.name for peer in chosen] == [NAME, "hive-jit"]


def test_an_unknown_peer_is_refused_with_the_list_of_peers() -> None:
    with pytest.raises(BenchmarkError, match=r"no peer is called nope; there are: user-gateway,"):
        choose(catalog(NO_NODE), ["nope"])


def test_peers_that_need_node_report_that_it_is_missing() -> None:
    [yoga] = choose(catalog(NO_NODE), ["yoga"])

    with pytest.raises(UnavailableError, match=r"there is no Node\.js"):
        yoga.command(ADDRESS)


def test_a_tuned_peer_differs_by_one_option() -> None:
    plain, tuned = choose(catalog(TOOLS), ["mercurius", "mercurius-tuned"])

    before, after = plain.command(ADDRESS), tuned.command(ADDRESS)

    assert [one for one in after.arguments if one not in before.arguments] == [
        "--max-semi-space-size=64"
    ]
    assert before.environment == after.environment


def test_our_gateway_is_started_with_three_sources_and_a_json_log() -> None:
    [ours] = choose(catalog(NO_NODE), [NAME])

    command = ours.command(ADDRESS)

    assert ours.kit is Kit.OURS
    assert command.arguments[1:] == ("serve", "--port", "9401")
    assert command.environment == {
        "GATEWAY_SOURCES__PROFILE__BASE_URL": "http://127.0.0.1:9500/profile",
        "GATEWAY_SOURCES__BILLING__BASE_URL": "http://127.0.0.1:9500/billing",
        "GATEWAY_SOURCES__ACTIVITY__BASE_URL": "http://127.0.0.1:9500/activity",
        "GATEWAY_LOG__FORMAT": "json",
        "GATEWAY_SOURCE_DEFAULTS__TIMEOUT": "10",
        "GATEWAY_SOURCE_DEFAULTS__CONNECT_TIMEOUT": "10",
        "GATEWAY_SOURCE_DEFAULTS__PAGE_TIMEOUT": "10",
        "GATEWAY_DEADLINE__BUDGET": "30",
        "GATEWAY_LIMITS__RATE__ENABLED": "false",
        "GATEWAY_AUTH__MODE": "none",
    }


def test_our_gateway_is_configured_for_the_upstream_of_the_workload() -> None:
    [ours] = choose(catalog(NO_NODE), [NAME])

    foreign, cached = (
        ours.command(PeerAddress(9401, "http://127.0.0.1:9500", door)).environment
        for door in (UpstreamDoor.FOREIGN, UpstreamDoor.CACHED)
    )

    assert foreign["GATEWAY_CONFIG"].endswith("mapped.toml")
    assert cached["GATEWAY_SOURCE_DEFAULTS__CACHE__ENABLED"] == "true"


def test_our_gateway_and_another_peer_support_each_usual_workload() -> None:
    others = [peer for peer in catalog(NO_NODE) if peer.kit is not Kit.OURS]

    for workload in USUAL:
        assert workload.name in catalog(NO_NODE)[0].answers
        assert [peer for peer in others if workload.name in peer.answers]


def test_the_reference_supports_each_workload_that_has_a_bar() -> None:
    [reference] = choose(catalog(NO_NODE), [REFERENCE])

    assert BARS.keys() <= reference.answers
