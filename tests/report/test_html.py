"""The pages as text: what is in them and what never is. In a browser: test_report_browser.py."""

from __future__ import annotations

import dataclasses
import json
import re
from collections import Counter
from functools import lru_cache
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
import numpy as np
import pandas as pd
import pytest
import report_fixtures as given

from redlib import plots
from redlib.errors import BadInput
from redlib.evidence.claims import Finding, StudyInfo, check, load_studies, parse_claim
from redlib.evidence.stats import Interval
from redlib.evidence.verdicts import Leaf
from redlib.report import cells, figures, wording
from redlib.report import html as html_module
from redlib.report.glossary import GLOSSARY
from redlib.report.html import TEMPLATES, index_page, study_card, study_page
from redlib.report.prose import Prose, inline, mathml
from redlib.report.references import Reference, load

MAX_PAGE = 1_500_000
ABOUT = StudyInfo("Double descent", "Why?")  # of the made-up study, whatever claims/ says of the real one


class Page(HTMLParser):
    """Collects the ids, links and text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.ids, self.links, self.words = [], [], []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        found = dict(attrs)
        self.ids += [found["id"]] if "id" in found else []
        self.links += [found["href"]] if tag in ("a", "use") and "href" in found else []

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def build(
    notebook: Any = None, profile: str = "laptop", kept_stale: bool = False, records: Any = None, claims: Any = None,
    **more: Any,
) -> str:  # fmt: skip
    return study_page(
        notebook or given.notebook(),
        given.records(profile) if records is None else records,
        given.run(kept_stale),
        claims or given.claims(),
        profile,
        study=given.STUDY,
        **{"references": given.REFERENCES, "about": ABOUT, "elsewhere": (), **more},
    )


@lru_cache(maxsize=1)
def study() -> str:
    return build()


@lru_cache(maxsize=1)
def index() -> str:
    records = {"laptop": given.records(), "mnist": given.records("mnist")[:3]}
    runs = {"laptop": {given.STUDY: given.run()}}
    return index_page([study_card(given.notebook(), given.STUDY)], given.claims(), records, runs, "laptop")


def with_cell(*outputs: Any, source: str = "1") -> str:
    return build(nbformat.v4.new_notebook(cells=[given.code(source, *outputs)]))


# --- both pages ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", [study, index])
def test_a_page_names_no_outside_address_at_all(page):
    assert "http:" not in page() and "https:" not in page() and "//cdn" not in page()


@pytest.mark.parametrize("page", [study, index])
def test_a_page_stays_far_below_its_size_limit(page):
    assert len(page().encode()) < MAX_PAGE / 5


@pytest.mark.parametrize("page", [study, index])
def test_all_ids_of_a_page_are_unique(page):
    assert [id for id, count in Counter(Page(page()).ids).items() if count > 1] == []


@pytest.mark.parametrize("page", [study, index])
def test_every_anchor_a_page_links_to_exists(page):
    parsed = Page(page())
    assert {link[1:] for link in parsed.links if link.startswith("#")} <= set(parsed.ids)


def test_the_same_input_gives_the_same_bytes():
    assert build() == build()


# --- the study page -----------------------------------------------------------------------------------------


def test_the_header_says_question_answer_verdicts_seeds_runtime_store_commit_versions_and_hardware():
    text = Page(study()).text
    for part in (
        "Why can test error fall again when a model grows",
        "Test error peaks where a model can only just",
        "3 replicated 1 contradicted 1 no effect 2 inconclusive 1 descriptive 1 not run",
        "profile laptop",
        "Seeds 10",
        "Runtime 3 min 12 s",
        "Computing behind it 5 min 2 s of one core",
        "Runs loaded from the store 112 of 120",
        "Commit 8d1f0c2a9b",
        "torch 2.13.0",
        "Example CPU @ 2.60GHz, 2 cores, 15.6 GiB",
        "digits (0123456789ab)",
    ):
        assert part in text, part


def test_one_figure_comes_before_the_narrative_and_costs_nothing():
    html = study()
    assert html.index('href="#art-dd_rff"') < html.index("Classical statistics") < html.index('id="art-dd_rff"')
    assert html.count('<use href="#art-dd_') == 4


def test_question_answer_and_lead_come_first_then_the_story_and_every_figure_and_claim_at_the_end():
    html = study()
    marks = ["question", "answer", "lead"]
    places = [html.index(f'class="{mark}"') for mark in marks] + [html.index('id="main"'), html.index("<article>")]
    places += [
        html.index(f'<section id="{name}"') for name in ("findings", "claims", "original", "disagree", "verdicts")
    ]
    assert places == sorted(places)
    assert html[: html.index('id="main"')].count("<figcaption>") == html.count('<figure class="lead">') == 1


def test_the_gallery_has_the_other_figures_those_of_primary_claims_first():
    first, more = study().split("<h3>More figures</h3>")
    assert re.findall(r'class="finding"><a class="scroll" href="#fig-(\w+)"', first) == ["dd_model"]
    assert re.findall(r'class="thumb" href="#fig-(\w+)"', more) == ["dd_noise", "dd_time"]


def test_what_a_figure_means_stands_under_its_caption_and_under_the_lead_and_nowhere_where_nothing_is_said():
    notebook = given.notebook()
    shown = next(output for cell in notebook.cells for output in cell.get("outputs", ())
                 if output.get("metadata", {}).get("redlib", {}).get("name") == "dd_rff")  # fmt: skip
    shown.metadata["redlib"]["meaning"] = "It is *wild* by -3 points."
    html = build(notebook)
    assert html.count("It is <em>wild</em> by −3 points.") == html.count("What it means") == 2
    figure = re.search(r'<figure id="fig-dd_rff">.*?</figure>', html, re.DOTALL)[0]
    assert figure.index("falls below its classical minimum") < figure.index("What it means")
    assert "What it means" not in study()


def test_a_figure_has_caption_alternative_text_and_the_verdicts_it_carries():
    html = re.search(r'<figure id="fig-dd_model">.*?</figure>', study(), re.DOTALL)[0]
    assert 'role="img" aria-label="Error against width: down, up to a peak, and down again"' in html
    assert "is worse than one of 16 and one of 512." in html
    assert Page(html).links[-2:] == ["#claim-DD-5", "#claim-DD-8"] and "DD-8 inconclusive" in Page(html).text


def test_the_claims_table_has_a_block_per_claim_and_a_row_per_part():
    table = study().split('<table class="claims">')[1].split("</table>")[0]
    blocks = {id: body for id, body in re.findall(r'<tbody id="claim-([\w-]+)".*?>(.*?)</tbody>', table, re.DOTALL)}
    assert list(blocks) == [id for id, claim in given.claims().items() if claim.study == given.STUDY]
    assert [blocks[id].count("<tr>") for id in ("DD-1", "DD-8", "DD-5", "DD-17")] == [4, 2, 1, 1]


def test_a_row_shows_reported_and_our_value_interval_seeds_range_forecast_verdict_and_links():
    block = re.search(r'<tbody id="claim-DD-5".*?</tbody>', study(), re.DOTALL)[0]
    text = Page(block).text
    row = next(row for row in given.records() if row["id"] == "DD-5")
    low, high = row["ci95"]
    for part in (
        "ResNet18, CIFAR-10: peak at k ≈ 10",
        f"{row['estimate']:+.1f} pp",
        f"[{low:.1f}, {high:.1f}]",
        "> 0 pp",
        " 10 ",
        "forecast: replicates , as expected",
        "replicated",
    ):
        assert part in text, part
    assert {"#fig-dd_model", "#card-DD-5"} <= set(Page(block).links)


def test_a_claim_that_was_not_run_gives_its_reason_and_the_check_that_waits():
    text = Page(re.search(r'<tbody id="claim-DD-17".*?</tbody>', study(), re.DOTALL)[0]).text
    assert "Needs one GPU: ResNet18-k on CIFAR." in text and "k peak 5 to 20" in text and "not run" in text


def test_verdict_cards_are_made_from_the_records_and_say_why():
    card = Page(re.search(r'<div class="verdict v-inconclusive" id="card-DD-8">.*?</div>', study(), re.DOTALL)[0]).text
    assert re.search(r"Height : \+3\.1\d* pp", card) and "1 of 2 parts is open. Shift: the interval" in card


def test_a_verdict_without_a_record_is_refused():
    with pytest.raises(BadInput, match="DD-5"):
        build(records=[row for row in given.records() if row["id"] != "DD-5"])


@pytest.mark.parametrize(
    "profile, kept, banners",
    [("laptop", False, []), ("smoke", False, ["Smoke run."]), ("laptop", True, ["Stale results were kept."])],
)
def test_banners_appear_exactly_on_smoke_runs_and_on_kept_stale_results(profile, kept, banners):
    html = build(profile=profile, kept_stale=kept)
    assert re.findall(r'<div class="banner.*?<strong>(.*?)</strong>', html) == banners
    assert ("3 stale results kept" in html) is kept


def test_a_smoke_page_shows_no_decided_verdict():
    chips = set(re.findall(r'<span class="chip v-(\w+)"', build(profile="smoke").split('id="verdicts"')[0]))
    assert chips == {"plumbing_ok", "not_run"}


def test_code_is_folded_and_coloured_and_parameters_are_named():
    folded = re.findall(r'<details class="cell"><summary>(.*?) <span>', study())
    assert folded.count("Parameters (defaults)") == 1 and folded.count("Parameters of this run") == 1
    assert '<span class="c1"># one line a seed</span>' in study()
    assert "<details open" not in study() and 'class="cell" open' not in study()


def test_widgets_and_logs_are_dropped_and_explorers_kept_with_their_script():
    html = study()
    assert "interactive(children" not in html and "120/120" not in html
    assert html.count('class="explorer"') == 1 and 'aria-label="Two panels of error curves"' in html


@pytest.mark.parametrize(
    "text",
    [
        "<Figure size 980x340 with 2 Axes>",
        "<matplotlib.legend.Legend at 0x7f50c23a0290>",
        "(None,\n <matplotlib.lines.Line2D at 0x7f465a14e450>,\n [Text(0, 0.5, 'aGk=')])",
        "(None, None, 'aGk=')",
    ],
)
def test_what_a_drawing_cell_leaves_behind_is_dropped(text):
    page = with_cell(given.shown({"image/png": "aGk=", "text/plain": text}))
    assert "aGk=" not in page and "0x7f" not in page


def test_long_printed_output_is_folded_and_short_is_not():
    long, short = ("\n".join("abcdefghijkl"[:n]) for n in (12, cells.FOLDED_LINES))
    assert "<summary>Printed <span>12 lines" in with_cell(given.printed(long))
    page = with_cell(given.printed(short))
    assert '<pre class="printed"' in page and "<summary>Printed" not in page


def test_long_tables_are_folded_and_short_ones_are_not():
    def page(rows, name):
        frame = pd.DataFrame({"run": range(rows)}).rename_axis(name)
        return with_cell(given.shown({"text/html": frame.to_html()}))

    more = cells.FOLDED_ROWS + 1
    assert f"<summary>Settings <span>{more} rows" in page(more, "setting")
    assert f"<summary>Table <span>{more} rows" in page(more, "quantity")
    assert "rows</span></summary>" not in page(cells.FOLDED_ROWS, "setting")


def test_an_error_in_the_notebook_is_loud():
    error = nbformat.v4.new_output(
        "error", ename="ValueError", evalue="x", traceback=["\x1b[31mValueError\x1b[0m: x < 3"]
    )
    assert '<pre class="error" role="alert" tabindex="0">ValueError: x &lt; 3</pre>' in with_cell(error)


def test_tables_scroll_in_their_own_container_and_lose_their_styles():
    html = study()
    assert (
        html.count("<table>") + html.count('class="dataframe"')
        == html.count('<div class="scroll" tabindex="0"><table') - 1
    )
    assert "td {color: red}" not in html


@pytest.mark.parametrize(
    "markup",
    [
        '<img src="https://a.b/c.png">',
        "<script src=//a.b/c.js></script>",
        '<link href="http://a.b/c.css">',
        "<svg><image href='//a.b/c'/></svg>",
    ],
)
def test_an_output_with_an_outside_address_is_refused(markup):
    with pytest.raises(BadInput, match="address in the report"):
        with_cell(given.shown({"text/html": markup}))


def test_how_to_disagree_names_every_parameter_its_value_and_the_command():
    box = Page(study().split('id="disagree"')[1].split("</section>")[0]).text
    assert "make study STUDY=01_double_descent PROFILE=laptop" in box
    assert f"widths {given.WIDTHS} hidden units tried" in box  # injected over the default
    assert "noise [0.0, 0.2] share of wrong labels" in box


def test_claims_and_captions_cannot_inject_markup():
    notebook = given.notebook()
    records = given.records()
    records[0]["reason"] = "<script>alert(1)</script>"
    assert "<script>alert" not in build(notebook, records=records)


# --- the index ----------------------------------------------------------------------------------------------


def test_the_index_lists_every_claim_once_with_a_column_for_each_profile():
    rows = re.findall(r'<tr data-verdict="(\w+)">(.*?)</tr>', index(), re.DOTALL)
    assert len(rows) == len(given.claims())
    assert all(re.findall(r'data-label="(\w+)"', body) == ["laptop", "mnist"] for _, body in rows)
    assert Counter(verdict for verdict, _ in rows)["not_yet"] == 2  # the claims of the two unwritten studies


def test_the_index_links_to_pages_and_claims_of_written_studies_only():
    pages = {link.split("#")[0] for link in Page(index()).links if not link.startswith("#")}
    assert pages == {"01_double_descent.html"}
    assert "01_double_descent.html#claim-DD-1" in Page(index()).links


def test_the_index_says_how_many_false_replications_to_expect():
    assert "up to 0.2 would still be expected" in Page(index()).text  # 6 x .025 + one equivalence claim x .05


def test_the_index_marks_the_primary_claims_that_survive_holm():
    marked = [id for id, row in re.findall(r'#claim-([\w-]+)"(.*?)</tr>', index(), re.DOTALL) if ">Holm<" in row]
    assert marked == ["DD-1", "DD-5"]


def test_the_index_shows_the_first_figure_and_minutes_to_read_of_a_study():
    assert 'id="art-thumb-01_double_descent"' in index() and re.search(r"\d+ min to read", index())


def test_the_index_explains_every_verdict_and_every_glossary_term():
    text = Page(index()).text
    assert all(words in text for words in GLOSSARY.values())
    assert all(about.meaning in text for about in wording.VERDICTS.values())


def test_a_smoke_index_warns_and_shows_only_its_own_column():
    records = {"smoke": given.records("smoke"), "laptop": given.records()}
    html = index_page([study_card(given.notebook(), given.STUDY)], given.claims(), records, {}, "smoke")
    assert "Smoke run." in html and 'data-label="laptop"' not in html


def test_the_figure_named_in_the_claims_file_comes_first_else_that_of_the_first_primary_claim():
    def first(html: str) -> str:
        return re.search(r'<use href="#art-(\w+)"', html)[1]

    notebook = given.notebook()
    for named, shown in (("dd_time", "dd_time"), ("drawn_elsewhere", "dd_rff"), ("", "dd_rff")):
        about = dataclasses.replace(ABOUT, lead=named)
        assert first(build(notebook, about=about)) == shown
        assert study_card(notebook, given.STUDY, given.claims(), about).figure.name == shown


def test_a_study_that_is_not_written_has_title_and_question_from_its_claims_file():
    other = load_studies()["02_lottery_tickets"]
    assert other.title in Page(index()).text and other.question in Page(index()).text
    empty = nbformat.v4.new_notebook(cells=[])
    assert study_card(empty, "02_lottery_tickets").question == other.question
    assert study_card(empty, "99_unknown").title == "99_unknown"


# --- verdicts in words --------------------------------------------------------------------------------------


def spoken() -> Any:
    """Return the claims; the parts of DD-8 and that of DD-17 say what they measure."""
    words = {"height": "how much noise raises the peak", "shift": "how far it moves", "k_peak": "the width of the peak"}
    new = {}
    for id in ("DD-8", "DD-17"):
        claim = given.claims()[id]
        parts = tuple(dataclasses.replace(leaf, says=words[leaf.name]) for leaf in claim.check.parts)
        new[id] = dataclasses.replace(claim, check=dataclasses.replace(claim.check, parts=parts))
    return type(given.claims())({**given.claims(), **new})


def test_a_part_is_one_sentence_what_it_is_its_number_what_is_asked_and_what_came_of_it_unless_it_holds():
    html = build(claims=spoken())
    text = Page(card_of(html, "DD-8")).text
    one = r"How much noise raises the peak : \+3\.1\d* pp \[.*?\] , asked for more than 0 pp \."
    assert re.search(one, text) and re.search(r"How far it moves : .* asked for more than 0 log₂ : undecided \.", text)
    for shown in (card_of(html, "DD-8"), block_of(html, "DD-8")):
        assert 'title="shift"' in shown and not re.search(r"\bshift\b", Page(shown).text)
    assert "the width of the peak 5 to 20" in Page(block_of(html, "DD-17")).text


@pytest.mark.parametrize("bounds, text", [
    ({"kind": "greater", "than": 0}, "asked for more than 0 pp"),
    ({"kind": "less", "than": -0.5}, "asked for less than −0.5 pp"),
    ({"kind": "interval", "low": 0.8, "high": 1.25}, "asked for a value between 0.8 and 1.25 pp"),
    ({"kind": "interval", "low": 0, "high": 0}, "asked for exactly 0 pp"),
    ({"kind": "equivalence", "delta": 0.3}, "asked for at most 0.3 pp away from 0"),
    ({"kind": "descriptive"}, "no range is named"),
    ({"kind": "greater", "than": 1, "of": "ours", "because": "so"}, "asked for more than 1 pp"),
    ({"kind": "greater", "than": 1, "reading": "by_eye"},
     "read as by eye, asked for more than 1 pp"),
])  # fmt: skip
def test_what_is_asked_is_said_in_words(bounds, text):
    claim = parse_claim({"id": "DD-1", "study": given.STUDY, "statement": "s", "source": "S1", "prior": "R",
                         "check": {"statistic": "x", "unit": "pp", **bounds}})  # fmt: skip
    row = check(claim, "laptop", Finding("DD-1", [1.0, 2.0])).parts[0]
    assert wording.question(row, claim.check.parts[0]) == text


def why(values: Any, gate: Any = None, gates: Any = None, **more: Any) -> wording.Open:
    """Return why a claim on `values` is inconclusive; `more` are the fields of its check."""
    parts = values if isinstance(values, dict) else {"x": values}
    stated = [{"kind": "greater", "statistic": name, "than": 0, "unit": "pp", "says": f"the {name}", **more}
              for name in parts]  # fmt: skip
    structured = stated[0] if len(stated) == 1 else {"kind": "conjunction", "parts": stated}
    claim = parse_claim({"id": "DD-1", "study": given.STUDY, "statement": "s", "source": "S1", "prior": "R",
                         "check": structured})  # fmt: skip
    row = json.loads(check(claim, "laptop", Finding("DD-1", parts, gate or {})).as_json())
    assert row["verdict"] == "inconclusive"
    return wording.undecided(row, {leaf.name: leaf for leaf in claim.check.parts}, gates or {})


NARROW, WIDE = [1.0, 2.0, -0.5, 1.5], [9.0, -8.0, 7.0, -8.0]


def test_an_inconclusive_claim_says_how_many_seeds_would_do_or_that_none_would():
    few = why(NARROW)
    assert re.fullmatch(
        r"The interval, −0\.\d+ to 2\.\d+ pp, reaches across the bound 0 pp\. 4 seeds are too few .*", few.why
    )
    assert few.settle == "About 7 seeds, if mean and spread stay as they are."
    none = why(WIDE)
    assert "Too much spread over 4 seeds" in none.why and "no number of seeds below 100 would do" in none.settle


def test_an_inconclusive_claim_says_which_of_its_parts_leaves_it_open():
    told = why({"x": [2.0, 2.1, 1.9, 2.0], "y": NARROW, "z": WIDE})
    assert told.why.startswith("2 of 3 parts are open. The y: the interval") and " The z: the interval" in told.why
    assert "The x:" not in told.why
    assert "no number of seeds" in told.settle and "About" not in told.settle, "the part that is hardest to settle"
    easier = [1.0, 2.0, -0.2, 1.5]
    assert why({"y": NARROW, "z": easier}).settle == why(NARROW).settle != why(easier).settle


def test_a_failed_gate_is_said_in_words():
    told = why([2.0, 2.1, 1.9], {"fits": False, "learns": True}, {"fits": "some nets did not fit their data"})
    assert told.why.endswith("failed a test of its own, fixed before the run: some nets did not fit their data.")
    assert "setting that passes" in told.settle
    assert "“halves agree” does not hold" in why([2.0, 2.1, 1.9], {"halves_agree": False}).why


def test_seeds_without_a_value_are_counted():
    nan = float("nan")
    most = why([nan, nan, nan, 1.0])
    assert most.why == "3 of 4 seeds have no value: they never got to what is measured."
    assert "at least half of the seeds" in most.settle
    assert "1 of 5 seeds have no value." in why([*NARROW, nan]).why
    assert why([1.0])[:2] == ("There are too few values for an interval.", "More seeds.")


def test_an_interval_over_all_data_says_how_much_more_of_it_would_do():
    told = why(Interval(1.0, -1.0, 3.0, 0.95, "bootstrap", 50))
    assert told.settle.startswith("About 4 times the data")
    assert "no likely amount" in why(Interval(0.01, -1.0, 1.0, 0.95, "bootstrap", 50)).settle


def test_no_page_prints_an_interval_without_ends():
    one = {"DD-5": [1.0], "DD-16": [2.0], "DD-12": [float("nan")]}
    found = {id: json.loads(check(given.claims()[id], "laptop", Finding(id, values)).as_json())
             for id, values in one.items()}  # fmt: skip
    for old in found.values():  # as records said before
        old["reason"] = f"no direction or value is claimed; 95% CI [-inf, inf] {old['reason']}"
    html = build(records=[found.get(row["id"], row) for row in given.records()])
    assert not re.search(r"[-−]?\binf\b|∞|\bnan\b", Page(html.split("<script>")[0]).text.lower())
    assert "There are too few values for an interval." in Page(card_of(html, "DD-5")).text


def test_a_reason_names_parts_in_their_words():
    leaves = {leaf.name: leaf for leaf in spoken()["DD-8"].check.parts}
    row = {"reason": "height contradicted: 95% CI [-2, -1] lies outside; shift null: x"}
    told = "How much noise raises the peak: contradicted, 95% CI [−2, −1] lies outside; how far it moves: no effect, x."
    assert wording.reason(row, leaves) == told


def test_the_page_explains_its_forecasts_and_the_codes_of_its_sources():
    legend = Page(study().split('<section id="verdicts">')[1].split("</section>")[0]).text
    assert all(f"{word} ({letter}) " in legend for letter, (word, _) in wording.FORECASTS.items())
    assert re.findall(r"\bS\d\b", legend) == ["S1", "S2"] and wording.SOURCES["S1"][4:] in legend


def test_a_check_rewritten_since_a_record_leaves_it_the_bounds_that_judged_it():
    old = given.records()
    old[1]["parts"][0]["threshold"] = old[1]["threshold"] = "> 9 pp"
    assert "asked for > 9 pp" in Page(card_of(build(records=old), "DD-5")).text


def test_the_last_table_sets_the_source_against_us():
    table = study().split('<table class="claims original">')[1].split("</table>")[0]
    rows = {Page(body).ids[0] if Page(body).ids else re.search(r"#claim-([\w-]+)", body)[1]: Page(body).text
            for body in re.findall(r"<tbody.*?</tbody>", table, re.DOTALL)}  # fmt: skip
    assert list(rows) == [row["id"] for row in given.records() if row["parts"]]
    for row in given.records()[:3]:
        part = next(part for part in row["parts"] if part["statistic"] == row["statistic"])
        wanted = (
            given.claims()[row["id"]].reported,
            "laptop, seeds 0–9",
            number(part),
            wording.VERDICTS[row["verdict"]].word,
        )
        assert all(each in rows[row["id"]] for each in wanted)
    assert "laptop: small embedded data" in Page(study().split('<section id="original">')[1]).text


def test_a_page_leads_to_the_studies_around_it_and_to_itself_at_other_profiles_from_top_and_bottom():
    around = ["02_lottery_tickets", "00_before"]
    links = Page(build(siblings=around, elsewhere=["mnist"])).links
    assert [links.count(f"{target}.html") for target in ("00_before", f"../mnist/{given.STUDY}")] == [2, 2]
    assert links.count("02_lottery_tickets.html") == 3, "and in the text"
    assert "steps" not in re.findall(r'class="(\w+)"', study())
    assert Page(build(siblings=["00_before"])).links.count("02_lottery_tickets.html") == 0


def test_pages_at_other_profiles_are_found_where_they_lie(tmp_path, monkeypatch):
    (tmp_path / "mnist").mkdir()
    monkeypatch.setattr(html_module, "outputs", lambda name: SimpleNamespace(reports=tmp_path / name))
    assert html_module._elsewhere("01_x", "laptop") == []
    (tmp_path / "mnist" / "01_x.html").touch()
    assert html_module._elsewhere("01_x", "laptop") == ["mnist"]
    assert html_module._elsewhere("01_x", "mnist") == html_module._elsewhere("01_x", "smoke") == []


def test_a_keyboard_can_skip_to_the_text():
    first = re.search(r"<body.*?<a class=\"(\w+)\" href=\"(#\w+)\">(.*?)</a>", study(), re.DOTALL)
    assert first.groups() == ("skip", "#main", "Skip to the text")


def test_the_glossary_explains_what_checks_are_made_of():
    ours = Page(study()).text
    for word in ("censored", "source's part", "equivalence (TOST)", "smallest effect of interest"):
        assert GLOSSARY[word] in ours, word
    assert GLOSSARY["our part"] not in ours and GLOSSARY["gate"] not in ours
    failed = [
        {**row, "adequacy": {"fits": False}} if row["verdict"] == "inconclusive" else row for row in given.records()
    ]
    assert GLOSSARY["gate"] in Page(build(records=failed)).text
    assert {"octave", "reinit", "underpowered", "reading (of a source)"} <= {*GLOSSARY}


# --- two blocks of seeds ------------------------------------------------------------------------------------


def build_both(claims: Any = None, **more: Any) -> str:
    """Return the page of the study with a confirmation."""
    return study_page(
        given.notebook(), given.records(), given.run(), claims or given.claims(), "laptop",
        study=given.STUDY, references=given.REFERENCES, confirmation=given.confirmation(), about=ABOUT, elsewhere=(),
        **more,
    )  # fmt: skip


def rewritten(*ids: str) -> dict[str, Any]:
    """Return the claims, the checks of some of them rewritten."""
    new = {id: dataclasses.replace(given.claims()[id], rewritten="It asked for more.") for id in ids}
    return type(given.claims())({**given.claims(), **new})


def block_of(html: str, id: str) -> str:
    return re.search(rf'<tbody id="claim-{id}".*?</tbody>', html, re.DOTALL)[0]


def card_of(html: str, id: str) -> str:
    return re.search(rf'<div class="verdict v-\w+" id="card-{id}">.*?</div>', html, re.DOTALL)[0]


def number(row: Any) -> str:
    """Return estimate and interval of a part as the pages show them."""
    return f"{wording.estimate(row)} {wording.interval(row)}"


@pytest.mark.parametrize("shown", [card_of, block_of])
@pytest.mark.parametrize(
    ("id", "standing", "told"),
    [
        ("DD-1", "confirmed", "Seeds 0–9: replicated; seeds 10–19: replicated."),
        ("DD-5", "fragile", "Seeds 0–9: replicated; seeds 10–19: contradicted."),
        ("DD-8", "undecided", "Seeds 0–9: inconclusive; seeds 10–19: inconclusive."),
        ("DD-16", "", "Seeds 0–9: descriptive; seeds 10–19: descriptive."),
    ],
)
def test_card_and_row_show_both_blocks_with_every_number_and_how_they_stand(shown, id, standing, told):
    html = shown(build_both(), id)
    assert re.findall(r'class="tag standing s-(\w+)"', html) == [standing] * bool(standing)
    text = Page(html).text
    assert told in text
    for rows in (given.records(), given.confirmation()):
        parts = next(row for row in rows if row["id"] == id)["parts"]
        assert all(number(part) in text for part in parts)
    assert html.count('class="interval"') == len(parts) == html.count('class="second ')


def test_a_claim_without_a_confirmation_looks_as_before():
    assert block_of(build_both(), "DD-11") == block_of(study(), "DD-11")
    assert card_of(build_both(), "DD-11") == card_of(study(), "DD-11")


def test_a_rewritten_check_is_judged_on_fresh_seeds_and_says_what_the_others_gave():
    html = build_both(rewritten("DD-5"))
    card = card_of(html, "DD-5")
    assert 'class="verdict v-contradicted"' in card and "s-fresh" in card
    told = "Judged on fresh seeds (10–19); on seeds 0–9, where the check was written: replicated."
    assert told in Page(card).text and told in Page(block_of(html, "DD-5")).text
    assert "not as expected" in Page(card).text, "the forecast is compared with the verdict that counts"
    header = html.split('id="main"')[0]
    assert "2 replicated 2 contradicted" in Page(header).text
    assert "there DD-5 is contradicted instead of replicated." in Page(header).text, "the answer speaks of other seeds"
    assert "instead of" not in Page(build_both().split('id="main"')[0]).text


def test_a_rewritten_check_without_fresh_seeds_is_exploratory():
    html = study_page(given.notebook(), given.records(), given.run(), rewritten("DD-5", "DD-16", "DD-17"), "laptop",
                      study=given.STUDY, references=given.REFERENCES)  # fmt: skip
    assert "s-exploratory" in card_of(html, "DD-5") and "written after these seeds were seen" in card_of(html, "DD-5")
    for id in ("DD-16", "DD-17"):
        assert "s-exploratory" not in block_of(html, id), "no decision, no doubt about one"


def test_a_confirmation_by_another_check_is_not_shown_as_one():
    other = given.confirmation()
    other[1]["parts"][0]["threshold"] = "> 9 pp"
    html = study_page(given.notebook(), given.records(), given.run(), given.claims(), "laptop",
                      study=given.STUDY, references=given.REFERENCES, confirmation=other)  # fmt: skip
    card = card_of(html, "DD-5")
    assert "s-outdated" in card and number(other[1]["parts"][0]) not in Page(card).text


def test_the_header_counts_how_the_claims_stand_and_a_banner_tells_blocks_that_differ():
    header = build_both(apart=["code", "claims"]).split('id="main"')[0]
    assert "1 confirmed 1 fragile 1 undecided" in Page(header).text and "Fresh seeds 10" in Page(header).text
    assert "They differ in: code, claims" in Page(header).text
    assert "not made alike" not in build_both() and "Fresh seeds" not in study().split('id="main"')[0]


def test_the_history_says_which_judgements_are_on_fresh_seeds():
    line = {"id": "DD-5", "date": "2026-01-02", "commit": "abc", "verdict": "null", "estimate": 0.0, "ci95": [-1, 1]}
    past = {"DD-5": [line, line | {"block": "confirmation", "verdict": "contradicted"}]}
    card = Page(card_of(build_both(history=past), "DD-5")).text
    assert "abc fresh seeds contradicted" in card and "abc no effect" in card


def test_the_index_counts_confirmed_and_fragile_and_marks_every_profile():
    records, fresh = (
        {name: made(name) for name in ("laptop", "mnist")} for made in (given.records, given.confirmation)
    )
    fresh["mnist"] = fresh["mnist"][:1]
    html = index_page([study_card(given.notebook(), given.STUDY)], rewritten("DD-11"), records, {}, "laptop", fresh)
    glance = Page(html.split('id="studies"')[0]).text
    assert "1 confirmed 1 fragile 1 undecided 1 exploratory" in glance
    row = re.search(r'#claim-DD-1".*?</tr>', html, re.DOTALL)[0]
    assert row.count("s-confirmed") == 2
    row = re.search(r'#claim-DD-5".*?</tr>', html, re.DOTALL)[0]
    assert row.count("s-fragile") == 1, "mnist has not been confirmed there"


def test_the_index_counts_a_rewritten_claim_by_its_fresh_verdict():
    cards, fresh = [study_card(given.notebook(), given.STUDY)], {"laptop": given.confirmation()}
    html = index_page(cards, rewritten("DD-5"), {"laptop": given.records()}, {}, "laptop", fresh)
    row = re.search(r'<tr data-verdict="(\w+)">\s*<th scope="row"><a href="[^"]*#claim-DD-5"', html)
    assert row[1] == "contradicted"
    assert not re.search(r'#claim-DD-5"((?!</tr>).)*>Holm<', html, re.DOTALL), "what is judged is tested"


def test_the_index_names_the_studies_whose_blocks_differ():
    cards, both = [study_card(given.notebook(), given.STUDY)], ({"laptop": given.records()},)
    told = "The two blocks were not made alike in 01_double_descent"
    fresh = {"laptop": given.confirmation()}
    assert told not in Page(index_page(cards, given.claims(), *both, {}, "laptop", fresh)).text
    assert told in Page(index_page(cards, given.claims(), *both, {}, "laptop", fresh, ["01_double_descent"])).text


def test_the_glossary_has_every_word_for_how_blocks_stand_and_a_page_those_that_it_uses():
    words = {"confirmation", *(about.word.removeprefix("on ") for about in wording.STANDINGS.values())}
    assert words <= {*GLOSSARY}
    ours = Page(build_both()).text
    assert all(GLOSSARY[word] in ours for word in ("confirmation", "confirmed", "fragile", "undecided"))
    assert GLOSSARY["fresh seeds"] not in ours and GLOSSARY["fresh seeds"] in Page(build_both(rewritten("DD-5"))).text
    assert GLOSSARY["confirmation"] not in Page(study()).text


@pytest.mark.parametrize("page", [build_both, index])
def test_every_page_explains_how_blocks_can_stand(page):
    text = Page(page()).text
    assert all(about.meaning in text for about in wording.STANDINGS.values())


# --- reading the notebook -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "paragraph", ["**Question.** Why?", "> **Question.** Why?", "Question: Why?", "**Question**: Why?"]
)
def test_title_and_question_are_found_and_taken_out_of_the_text(paragraph):
    cell = nbformat.v4.new_markdown_cell(f"# A title\n\n{paragraph}\n\nText.")
    assert cells.front(nbformat.v4.new_notebook(cells=[cell])) == ("A title", "Why?", "Text.")


def test_two_figures_of_one_name_are_refused():
    shown = given.shown_figure("same", "A caption.")
    with pytest.raises(BadInput, match="same"):
        cells.figures(nbformat.v4.new_notebook(cells=[given.code("1", shown, shown)]))


def test_reading_time_counts_words_and_figures():
    text = nbformat.v4.new_markdown_cell("word " * 880)
    figure = given.code("1", *(given.shown_figure(f"f{n}", "c") for n in range(3)))
    assert cells.minutes_to_read(nbformat.v4.new_notebook(cells=[text])) == 4
    assert cells.minutes_to_read(nbformat.v4.new_notebook(cells=[text, figure])) == 5


# --- markdown and formulas ----------------------------------------------------------------------------------


WORK = Reference("Ng 2004", "Ng (2004). Title.")


def test_a_citation_becomes_a_link_to_its_reference_except_in_code():
    prose = Prose(references={"a": WORK, "b": WORK})
    assert '(<a href="#ref-b">Ng 2004</a>; <a href="#ref-a">Ng 2004</a>)' in prose.html("See [@b; @a], not `[@c]`.")
    assert list(prose.cited) == ["b", "a"]
    with pytest.raises(BadInput, match="@c"):
        prose.html("See [@c].")


def test_a_work_named_by_author_and_year_leads_to_its_reference_but_in_code_links_and_headings():
    works = {
        "a": Reference("Ng & Wu 2004", "x"),
        "b": Reference("Li et al. 2019", "y"),
        "c": Reference("Li et al. 2019", "z"),
    }
    prose = Prose(references=works | {"d": Reference("Bo et al. 2020", "w")})
    html = prose.html(
        "# By Bo et al. 2020\n\nBo et al. (2020), not `Bo et al. 2020`, Bo et al. 20201 or Li et al. 2019."
    )
    assert html.count("<a ") == 1 and '<a href="#ref-d">Bo et al. (2020)</a>' in html
    assert prose.linked("S1 <x>; Ng & Wu 2004, p. 3") == 'S1 &lt;x&gt;; <a href="#ref-a">Ng &amp; Wu 2004</a>, p. 3'
    assert list(prose.cited) == ["d", "a"]


def test_the_source_of_a_claim_leads_to_the_references():
    works = given.REFERENCES | {"belkin": Reference("Belkin et al. 2019", "Belkin (2019). Peaks.")}
    html = build(references=works)
    assert "#ref-belkin" in Page(block_of(html, "DD-1")).links and '<li id="ref-belkin">' in html


def test_the_page_lists_the_works_it_cites():
    references = study().split('<section id="references">')[1]
    assert '<li id="ref-hastie2022">Hastie (2022). Surprises. doi:10.1/x.</li>' in references


def test_bibtex_entries_become_a_label_and_a_line(tmp_path):
    path = tmp_path / "r.bib"
    names = r"Geman, Stuart and Doursat, Ren{\'e}"
    path.write_text(f"@article{{g,\n title = {{On {{SGD}}}},\n author = {{{names}}},\n year = {{1992}},\n"
                    " journal = {Neural},\n volume = {4},\n pages = {1--58},\n doi = {10.1/x},\n}\n")  # fmt: skip
    assert load(path)["g"].label == "Geman & Doursat 1992"
    assert load(path)["g"].line == "Geman and Doursat (1992). On SGD. Neural 4, 1–58. doi:10.1/x."


@pytest.mark.parametrize(
    "text, message",
    [
        ("@misc{a,\n title = {T},\n}\n", "author, year"),
        ("@misc{a,\n title = {T},\n author = {A},\n year = {1},\n}\n" * 2, "twice"),
    ],
)
def test_bad_bibtex_entries_are_refused(tmp_path, text, message):
    (tmp_path / "r.bib").write_text(text)
    with pytest.raises(BadInput, match=message):
        load(tmp_path / "r.bib")


def test_every_work_of_the_project_can_be_read():
    path = Path(__file__).parents[2] / "references.bib"
    works = load(path)
    assert len(works) == path.read_text(encoding="utf-8").count("\n@") > 10
    assert not re.search(r"[{}\\]", "".join(work.line for work in works.values()))


def test_formulas_become_mathml_before_markdown_sees_them():
    html = Prose().html("With $a_i * b_i * c_i$ and\n\n$$\\sum_{i} x_i$$\n\nend")
    assert html.count("<math") == 2 and "<em>" not in html and "xmlns" not in html
    assert '<div class="formula" tabindex="0"><math' in html and "<p><div" not in html


@pytest.mark.parametrize("text", ["costs $5 or $10", "`$x$` is code", "```\n$x$\n```", r"escaped \$x\$"])
def test_dollars_that_are_no_formula_stay(text):
    html = Prose().html(text)
    assert "<math" not in html and "$" in html


@pytest.mark.parametrize("latex", [r"\left( x", "x_a_b", r"\unheardof x"])
def test_a_formula_that_cannot_be_read_is_refused_with_its_text(latex):
    with pytest.raises(BadInput, match=re.escape(repr(latex))):
        mathml(latex)


def test_outside_links_become_text_with_their_doi():
    html = inline("[Belkin](https://doi.org/10.1073/pnas.1) and [code](https://github.com/a/b)")
    assert "href" not in html and "doi:10.1073/pnas.1" in html and "github.com/a/b" in html and "http" not in html


@pytest.mark.parametrize("siblings, expected", [(["02_x"], '<a href="02_x.html#s">t</a>'), ([], "<p>t</p>")])
def test_a_link_to_another_notebook_leads_to_its_page_where_there_is_one(siblings, expected):
    assert expected in Prose(siblings).html("[t](02_x.ipynb#s)")


def test_an_outside_image_is_refused():
    with pytest.raises(BadInput, match="image"):
        Prose().html("![x](https://a.b/c.png)")


def test_equal_headings_get_different_anchors():
    prose = Prose()
    prose.html("## Limits\n\n## Limits\n\n# Top")
    assert [(heading.level, heading.anchor) for heading in prose.headings] == [
        (2, "s-limits"),
        (2, "s-limits-2"),
        (2, "s-top"),
    ]


# --- figures ------------------------------------------------------------------------------------------------


def test_every_colour_of_the_plots_follows_the_theme():
    assert {plots.INK, plots.GRID, *plots.COLOURS.values(), *plots.SHADES.values()} <= set(figures.SENTINELS)
    variables = {variable.removeprefix("var(").removesuffix(")") for variable in figures.SENTINELS.values()}
    for name in ("style.css", "dark.css"):
        assert variables <= set(re.findall(r"(--[\w-]+):", (TEMPLATES / name).read_text())), name


def test_an_inline_figure_has_no_ink_of_its_own_no_fixed_size_and_the_fonts_of_the_page():
    svg = figures.inline_svg(given.figure("plain"), "plain", "alt")
    assert not re.search("|".join(figures.SENTINELS), svg) and "DejaVu" not in svg and "var(--sans)" in svg
    head = svg[: svg.index(">")]
    assert " width=" not in head and " height=" not in head and "viewBox=" in head


def test_two_figures_share_no_id_and_their_references_still_resolve():
    page = Page(figures.inline_svg(given.figure("a"), "a") + figures.inline_svg(given.figure("a"), "b"))
    assert len(page.ids) == len(set(page.ids)) > 4
    svg = figures.inline_svg(given.figure("a"), "a")
    referred = set(re.findall(r"url\(#([^)]+)\)", svg)) | set(re.findall(r'href="#([^"]+)"', svg))
    assert referred and referred <= set(Page(svg).ids)


def test_coordinates_keep_two_decimals_and_move_by_less_than_a_hundredth_of_a_point():
    drawn = given.figure("plain"), figures.inline_svg(given.figure("plain"), "plain")
    before, after = (
        [float(x) for path in re.findall(r' d="([^"]*)"', svg) for x in re.findall(r"-?[\d.]+", path)] for svg in drawn
    )
    assert len(before) > 100
    assert np.abs(np.subtract(before, after)).max() <= 0.0051


def test_mathtext_is_joined_into_runs():
    svg = figures.inline_svg(given.figure("plain"), "plain")
    assert re.search(r">hidden\s?units\s?</tspan>", svg.replace("\xa0", " "))


@pytest.mark.parametrize("bad", ["no svg", "<p/>", "<svg viewBox='0 0 0 10'/>", "<svg/>"])
def test_what_is_no_svg_is_refused(bad):
    with pytest.raises(BadInput, match="figure x"):
        figures.inline_svg(bad, "x")


# --- numbers in words ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value, spread, text",
    [
        (5.123, 1.7, "5.1"),
        (-2.4, 0.57, "−2.40"),
        (0.0321, 0.004, "0.0321"),
        (1234.5, 30, "1 234"),
        (12345678.0, 10, "1.2 × 10⁷"),
        (-4e-5, 0, "−4.0 × 10⁻⁵"),
        (0.0, 0, "0"),
        (-0.04, 3, "0.0"),
        (None, 0, "–"),
        (float("inf"), 0, "∞"),
        (float("nan"), 0, "–"),
    ],
)
def test_numbers_have_the_digits_their_uncertainty_justifies(value, spread, text):
    assert wording.number(value, spread) == text


@pytest.mark.parametrize(
    "unit, text", [("pp", "+0.50 pp"), ("log2", "+0.50 log₂ (×1.41)"), ("ratio", "0.50"), ("z", "0.50 σ")]
)
def test_estimates_have_readable_units(unit, text):
    assert wording.estimate({"estimate": 0.5, "ci95": [0.2, 0.8], "unit": unit}) == text


@pytest.mark.parametrize(
    "seconds, text",
    [(None, "–"), (4.26, "4.3 s"), (59.6, "1 min 0 s"), (192.4, "3 min 12 s"), (3900, "1 h 5 min")],
)
def test_durations_are_readable(seconds, text):
    assert wording.duration(seconds) == text


@pytest.mark.parametrize(
    "prior, verdict, text",
    [
        ("R", "replicated", "as expected"),
        ("R", "null", "not as expected"),
        ("X", "contradicted", "as expected"),
        ("X", "replicated", "not as expected"),
        ("R", "inconclusive", ""),
        ("D", "null", ""),
    ],
)
def test_forecasts_are_compared_with_decided_verdicts_only(prior, verdict, text):
    assert wording.forecast(prior, verdict) == text


@pytest.mark.parametrize(
    "rows, text",
    [
        ([{"seeds": [0, 1, 2], "per_seed": {}}, {"seeds": [], "per_seed": {"a": None, "b": [1.0] * 5}}], "3 to 5"),
        ([{"seeds": [], "per_seed": {"a": None}}, {"verdict": "not_run"}], "–"),
    ],
)
def test_seeds_are_counted_from_the_record_or_its_values(rows, text):
    assert wording.seeds(rows) == text


def test_verdicts_differ_in_icon_and_word_not_in_colour_alone():
    for field in ("word", "icon"):
        assert len({getattr(about, field) for about in wording.VERDICTS.values()}) == len(wording.VERDICTS)


@pytest.mark.parametrize(
    "kind, bounds, unit, text",
    [
        ("greater", {"than": 0}, "pp", "> 0 pp"),
        ("less", {"than": -1e-6}, "none", "< −1e-06"),
        ("interval", {"low": 1 / 3, "high": 3}, "ratio", "0.333 to 3"),
        ("two_sided", {"zero": 0}, "slope", ""),
        ("equivalence", {"delta": 0.3}, "pp", "0 ± 0.3 pp"),
        ("greater", {"than": np.log2(10)}, "log2", "> 3.32 log₂ (×10)"),
        ("greater", {"than": 100}, "ratio", "> 100"),
        ("interval", {"low": -0.3, "high": 100}, "pp", "≥ −0.3 pp"),  # 100 stands for no end
        ("interval", {"low": -100, "high": 0.01}, "nats", "≤ 0.01 nats"),
    ],
)
def test_claimed_ranges_are_readable(kind, bounds, unit, text):
    leaf = Leaf("x", kind, "x", unit, bounds)
    assert wording.threshold(leaf) == text
    words = {">": "more than", "<": "less than", "≥": "at least", "≤": "at most"}
    if text[:1] in words:
        assert wording.asked(leaf) == words[text[0]] + text[1:]


def test_a_reason_names_no_end_that_stands_for_none():
    told = wording.reason({"reason": "95% CI [-1.15, 0.06] overlaps the claimed range, in [-1, 100] pp"}, {})
    assert "at least −1 pp" in told and "100" not in told


@pytest.mark.parametrize(
    "kind, bounds, inside",
    [
        ("greater", {"than": 0}, True),
        ("less", {"than": 0}, False),
        ("interval", {"low": 1, "high": 5}, True),
        ("interval", {"low": -9, "high": -5}, False),
    ],
)
def test_the_picture_puts_the_estimate_inside_the_claimed_range_exactly_when_it_is(kind, bounds, inside):
    part = {"estimate": 3.0, "ci95": [2.0, 4.0], "unit": "pp", "threshold": "t"}
    svg = wording.picture(part, Leaf("x", kind, "x", "pp", bounds))
    left, width = (float(re.search(rf'{name}="([\d.]+)"', svg)[1]) for name in (" x", "width"))
    dot = float(re.search(r'cx="([\d.]+)"', svg)[1])
    assert (left < dot < left + width) is inside


def test_the_index_sets_old_and_new_checks_side_by_side_where_there_are_both():
    cards, fresh = [study_card(given.notebook(), given.STUDY)], {"laptop": given.confirmation()}
    old = {"id": "DD-5", "verdict": "null", "check": None}
    made = (cards, rewritten("DD-5"), {"laptop": given.records()}, {}, "laptop", fresh, ())
    table = (
        index_page(*made, {"DD-5": [old, {**old, "check": "a1b2"}]}).split('id="rewritten"')[1].split("</section>")[0]
    )
    text = Page(table).text
    assert (
        "1 checks" not in text
        and "Old check, first seeds" in text
        and 'href="01_double_descent.html#claim-DD-5"' in table
    )
    assert "no effect" in text and "New check, fresh seeds" in text
    assert 'id="rewritten"' not in index_page(*made, {"DD-5": [old]})


def test_the_two_reasons_of_a_part_are_two_sentences():
    assert wording.because("under half No effect within 0.1: a tenth") == "Under half. No effect within 0.1: a tenth."
    assert wording.because("is it SGD?") == "Is it SGD?" and wording.because("") == ""
