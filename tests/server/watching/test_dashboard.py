"""The dashboard, the alerts and the scrape's configuration, against the metrics of a real server."""

import json
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import promql_parser as promql
import pytest
import yaml
from tests.server.scenarios import run

from beedex.v1 import index_pb2, index_pb2_grpc, search_pb2, search_pb2_grpc, types_pb2

# Typed as if every channel were a blocking one, where nothing is known of the channel.
SearchStub: Any = search_pb2_grpc.SearchServiceStub
IndexStub: Any = index_pb2_grpc.IndexServiceStub

ROOT = Path(__file__).parents[3]
DASHBOARD = ROOT / "deploy" / "grafana" / "beedex.json"
PROMETHEUS = ROOT / "deploy" / "prometheus"
RULES = PROMETHEUS / "beedex.rules.yml"
RULES_TEST = PROMETHEUS / "beedex.rules.test.yml"
SCRAPE = PROMETHEUS / "prometheus.yml"
DOCUMENTATION = ROOT / "docs" / "watching.md"
SERVER = ROOT / "deploy" / "beedex.toml"

# Prometheus gives every line of a scrape the first two, and writes `up` itself.
LABELS_OF_A_SCRAPE = {"job", "instance"}
METRICS_OF_A_SCRAPE = {"up"}

GRID_COLUMNS = 24


def read_dashboard():
    return json.loads(DASHBOARD.read_text())


def list_panels():
    return [panel for panel in read_dashboard()["panels"] if panel["type"] != "row"]


def list_dashboard_expressions():
    dashboard = read_dashboard()
    found = [target["expr"] for panel in list_panels() for target in panel["targets"]]
    found += [annotation["expr"] for annotation in dashboard["annotations"]["list"]]
    # Grafana puts these in before it asks Prometheus.
    return [expression.replace("$__rate_interval", "5m") for expression in found]


def list_rules():
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def list_selectors(expression):
    """The metrics that an expression names, each with the labels that it is selected by."""
    found = []

    def visit(node):
        if isinstance(node, promql.VectorSelector):
            found.append((node.name, {matcher.name for matcher in node.matchers.matchers}))
        return True

    promql.walk(promql.parse(expression), visit)
    return found


def list_grouping_labels(expression):
    """The labels that an expression groups or joins by."""
    return {
        label.strip() for labels in re.findall(r"\b(?:by|on)\s*\(([^)]*)\)", expression) for label in labels.split(",")
    }


@pytest.fixture(scope="module")
def expressions():
    return list_dashboard_expressions() + [rule["expr"] for rule in list_rules()]


@pytest.fixture
def labels_by_metric(watched, photos):
    """The labels of every metric of a server that has been asked a few things."""

    async def scenario():
        async with watched() as server, server.connect() as channel:
            search = SearchStub(channel)
            request = search_pb2.IdentifyRequest(query=types_pb2.Query(photo=photos[0]))
            stream = search.IdentifyStream()
            await stream.write(search_pb2.IdentifyStreamRequest(request=request))
            await stream.read()
            await IndexStub(channel).GetStatus(index_pb2.GetStatusRequest())
            metrics = await server.read_metrics()
            await stream.done_writing()
            await stream.code()
            return metrics

    found: dict[str, set[str]] = {}
    for name, labels in run(scenario).values:
        found.setdefault(name, set()).update(name for name, _ in labels)
    return found


def test_every_expression_is_promql(expressions):
    for expression in expressions:
        promql.parse(expression)


def test_every_metric_and_label_that_is_named_is_one_of_a_servers(expressions, labels_by_metric):
    for expression in expressions:
        selectors = list_selectors(expression)
        assert selectors, expression
        known = set(LABELS_OF_A_SCRAPE)
        for name, labels in selectors:
            if name in METRICS_OF_A_SCRAPE:
                continue
            assert name in labels_by_metric, expression
            assert labels <= labels_by_metric[name] | LABELS_OF_A_SCRAPE, expression
            known |= labels_by_metric[name]
        assert list_grouping_labels(expression) <= known, expression


def test_what_a_server_tells_of_itself_is_shown_or_alerted_of(expressions, labels_by_metric):
    named = {name for expression in expressions for name, _ in list_selectors(expression)}
    families = {re.sub(r"_(bucket|count|sum)$", "", name) for name in named}
    told = {
        re.sub(r"_(bucket|count|sum|created)$", "", name) for name in labels_by_metric if name.startswith("beedex_")
    } - {"beedex_requests", "beedex_calls"}  # where `_created` was taken off
    assert told - families == {"beedex_embedding_cache_photos"}


def test_the_documentation_lists_every_metric(labels_by_metric):
    told = {re.sub(r"_(bucket|count|sum)$", "", name) for name in labels_by_metric if name.startswith("beedex_")}
    # The moment from which something is counted.
    told = {name for name in told if not name.endswith("_created")}
    table = "\n".join(line for line in DOCUMENTATION.read_text().splitlines() if line.startswith("| `"))
    assert set(re.findall(r"`(beedex_\w+)`", table)) == told


def test_the_panels_have_a_place_and_a_name_of_their_own():
    dashboard = read_dashboard()
    assert dashboard["uid"] == "beedex"
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({panel["title"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= GRID_COLUMNS
        cells = {(x + place["x"], y + place["y"]) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells


def test_the_dashboard_asks_whichever_prometheus_and_servers_are_chosen():
    for panel in list_panels():
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == "${datasource}"
            count = len(list_selectors(target["expr"].replace("$__rate_interval", "5m")))
            assert target["expr"].count('job=~"$job", instance=~"$instance"') == count, panel["title"]


def test_every_alert_says_what_is_wrong_and_how_bad_it_is():
    rules = list_rules()
    assert len({rule["alert"] for rule in rules}) == len(rules)
    for rule in rules:
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
        assert set(rule["annotations"]) == {"summary", "description"}


def test_every_alert_has_a_test_that_makes_it_fire():
    tests = yaml.safe_load(RULES_TEST.read_text())["tests"]
    fired = {case["alertname"] for test in tests for case in test["alert_rule_test"] if case.get("exp_alerts")}
    assert fired == {rule["alert"] for rule in list_rules()}


def test_the_scrape_goes_where_the_deployed_server_answers():
    (job,) = yaml.safe_load(SCRAPE.read_text())["scrape_configs"]
    (static,) = job["static_configs"]
    assert job["job_name"] == "beedex"
    assert static["targets"] == [tomllib.loads(SERVER.read_text())["watch"]["http_listen"]]


@pytest.fixture(scope="module")
def promtool():
    """Prometheus's own checker; `make promtool` fetches it on Debian."""
    found = os.environ.get("BEEDEX_PROMTOOL") or shutil.which("promtool") or ROOT / "build" / "promtool" / "promtool"
    if not Path(found).is_file():
        pytest.skip("promtool is not installed; `make promtool` fetches it on Debian")
    return found


@pytest.mark.parametrize(
    "arguments",
    [("check", "rules", RULES.name), ("test", "rules", RULES_TEST.name), ("check", "config", SCRAPE.name)],
    ids=lambda arguments: " ".join(arguments[:2]),
)
def test_promtool_accepts_what_is_deployed(promtool, arguments):
    done = subprocess.run([promtool, *arguments], cwd=PROMETHEUS, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_accepts_the_metrics_of_a_server(watched, promtool):
    async def scenario():
        async with watched() as server:
            return (await server.get("/metrics"))[1]

    command = [promtool, "check", "metrics"]
    done = subprocess.run(command, input=run(scenario), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
