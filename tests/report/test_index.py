"""The index as it is published: its answer from the records, and a tagline that counts what is really done."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import report_fixtures as given

from redlib.report import pages
from redlib.report.html import index_page, study_card


def tagline(records, claims=None, cards=None):
    claims = given.claims() if claims is None else claims
    cards = [study_card(given.notebook(), given.STUDY)] if cards is None else cards
    html = index_page(cards, claims, {"laptop": records}, {}, "laptop")
    return re.search(r'<p class="question">(.*?)</p>', html, re.DOTALL)[1]


def test_the_tagline_counts_judged_claims_and_written_studies():
    told = tagline(given.records())
    assert told.startswith("8 of 11 claims, one of three studies: what")  # of nine records one was not run
    assert "each claim done" in told


def test_the_tagline_of_a_finished_review_counts_nothing():
    claims = {id: claim for id, claim in given.claims().items() if claim.study == given.STUDY and id != "DD-17"}
    told = tagline([row for row in given.records() if row["id"] != "DD-17"], claims)
    assert told.startswith("What five source documents say") and "each claim ends" in told


def test_a_study_without_a_page_is_missing_even_where_all_others_are_judged():
    claims = {id: claim for id, claim in given.claims().items() if id in ("DD-1", "LTH-1")}
    assert tagline(given.records()[:1], claims).startswith("1 of 2 claims, one of two studies")


@pytest.fixture
def published(monkeypatch, tmp_path):
    """Return the index as `pages.index` writes it, from the records of the fixture."""
    monkeypatch.setattr(pages, "load_claims", given.claims)
    monkeypatch.setattr(pages, "read_records", lambda name, block="judged": known(name, block))
    monkeypatch.setattr(pages, "read_runs", lambda _: {})
    monkeypatch.setattr(pages, "apart", lambda *_: [])
    monkeypatch.setattr(pages.answer, "stated", lambda *_: {})
    where = pages.outputs("laptop")
    folders = replace(where, reports=tmp_path / "reports", results=tmp_path / "results")
    monkeypatch.setattr(pages, "outputs", lambda _: folders)
    cards = {given.STUDY: study_card(given.notebook(), given.STUDY)}
    return pages.index("laptop", cards).read_text(encoding="utf-8")


def known(name, block):
    return given.records(name) if name in ("laptop", "mnist") and block == "judged" else []


def test_the_published_index_opens_with_the_answer_and_its_links_lead_to_claims(published):
    head, rest = published.split('<section id="answer">')
    said = rest.split("</section>")[0]
    assert 'id="studies"' not in head and pages.ANSWER not in published
    assert '<a href="01_double_descent.html#claim-DD-1">DD-1</a>' in said
    assert "Where laptop and mnist agree" in said and "come to the same verdict each time" in said
