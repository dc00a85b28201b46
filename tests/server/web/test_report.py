"""The trainer's report over HTTP: a page of its own, in a sandbox."""

import shutil
from dataclasses import replace

import httpx
import pytest
from tests.server.scenarios import run

from beedex.server.engine import open_engine

REPORT = b"<!DOCTYPE html><title>How good it is</title>"


@pytest.fixture
def index_with_report(tiny_index, tmp_path):
    index = shutil.copytree(tiny_index, tmp_path / "index")
    (embedder,) = (index / "embedders").iterdir()
    (embedder / "report").mkdir()
    (embedder / "report" / "report.html").write_bytes(REPORT)
    return index


def load(config):
    engine = open_engine(config)
    files = {**engine.card.files, "report/report.html": "0" * 64}
    return replace(engine, card=engine.card.model_copy(update={"files": files}))


def test_the_report_is_shown_where_it_reaches_nothing_of_the_server(web_serving, index_with_report):
    async def scenario():
        async with (
            web_serving(index_dir=index_with_report, load=load) as served,
            httpx.AsyncClient(base_url=served.url) as http,
        ):
            assert (await http.get("/v1/report")).json()["has_page"]
            page = await http.get("/v1/report/page")
            assert page.content == REPORT
            assert page.headers["content-type"] == "text/html; charset=utf-8"
            policy = page.headers["content-security-policy"].split("; ")
            assert {"sandbox allow-scripts", "default-src 'none'", "frame-ancestors 'none'"} <= set(policy)
            assert not any(part.startswith("connect-src") for part in policy)
            # Browsers refuse a page that is in a sandbox and wants its windows to itself.
            assert page.headers["cross-origin-opener-policy"] == "unsafe-none"

    run(scenario)


def test_a_report_whose_file_is_gone_is_refused(web_serving, tiny_index):
    async def scenario():
        async with (
            web_serving(index_dir=tiny_index, load=load) as served,
            httpx.AsyncClient(base_url=served.url) as http,
        ):
            reply = await http.get("/v1/report/page")
            assert (reply.status_code, reply.json()["error"]["reason"]) == (404, "REPORT_MISSING")

    run(scenario)
