"""The answer of the index: sentences whose words follow the verdicts, and a picture with a mark for each of them."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
import report_fixtures as given

from redlib.errors import BadInput
from redlib.evidence.claims import VERDICTS as KNOWN
from redlib.evidence.claims import Claims, StudyInfo, load_claims, load_studies, parse_claim
from redlib.report import answer
from redlib.report.policy import check_page
from redlib.report.wording import VERDICTS

ONE, TWO, THREE = "01_one", "02_two", "03_three"
TITLES = {ONE: "The first", TWO: "The second", THREE: "The third"}


def claim(id, study, primary=True, statement=""):
    said = statement or f"What {id} says is so."
    check = {"kind": "greater", "statistic": "x", "than": 0, "unit": "none"}
    entry = {"id": id, "study": study, "statement": said, "source": "S1", "prior": "R", "primary": primary}
    return parse_claim(entry | {"check": check})


CLAIMS = Claims({
    one.id: one for one in [
        *(claim(f"A-{n}", ONE, primary=n > 1) for n in range(1, 6)), *(claim(f"B-{n}", TWO) for n in (1, 2)),
        claim("C-1", THREE, statement="Nets < 5 & others learn."),
    ]
})  # fmt: skip


def row(id, verdict, profile="laptop", **more):
    return {
        "id": id,
        "study": CLAIMS[id].study,
        "verdict": verdict,
        "profile": profile,
        "adequacy": {},
        "parts": [],
    } | more


def rows(profile="laptop", /, **verdicts):
    """Return a record for each claim id, written with _ for the hyphen."""
    return [row(id.replace("_", "-"), verdict, profile) for id, verdict in verdicts.items()]


def found(**records):
    return answer.blocks(CLAIMS, records, {}, "laptop")


def section(answers=None, pages=(ONE, TWO, THREE), fresh=(), profile="laptop", **records):
    return answer.section(CLAIMS, TITLES, records, {"laptop": fresh}, profile, pages, answers or {})


class Page(HTMLParser):
    """The words of a piece of HTML, its links, and the classes of its marks."""

    def __init__(self, html):
        super().__init__()
        self.words, self.links, self.tags = [], [], []
        self.feed(re.sub("<style>.*?</style>", "", html, flags=re.DOTALL))
        self.text = " ".join(" ".join(self.words).split())

    def handle_data(self, data):
        self.words.append(data)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.links += [value for name, value in attrs if name == "href"]


# --- sentences ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verdict", [*KNOWN, "not_yet"])
def test_a_sentence_begins_as_its_verdict_says_and_cites_its_claim(verdict):
    others = {f"A_{n}": "null" if verdict != "null" else "replicated" for n in (3, 4)}
    given_rows = rows(A_2=verdict, **others) if verdict != "not_yet" else rows(**others)
    html = section(answers={ONE: {"does": ["A-2"]}}, laptop=given_rows)
    place = " at laptop" if verdict != "not_yet" else ""
    line = next(part for part in re.findall("<li.*?</li>", html, re.DOTALL) if "A-2" in part)
    assert f"{answer.LEADS[verdict]}{place}: What A-2 says is so ( A-2 )." in Page(line).text
    assert Page(line).links == ["01_one.html#claim-A-2"] and f'class="v-{verdict}"' in line


def test_no_two_verdicts_are_said_in_the_same_words():
    assert set(answer.LEADS) == set(VERDICTS) and len(set(answer.LEADS.values())) == len(answer.LEADS)


def test_profiles_of_one_verdict_are_named_together_and_others_one_by_one():
    seen = found(laptop=rows(A_1="replicated", A_2="contradicted"), mnist=rows("mnist", A_1="replicated", A_2="null"))
    assert answer.lead("A-1", seen) == "Holds at laptop and mnist"
    assert answer.lead("A-2", seen) == "Does not hold at laptop, no effect that matters at mnist"


def test_profiles_of_one_standing_are_marked_once():
    found = {name: {"A-1": answer.Both(row("A-1", "null"), None, standing)} for name, standing in [
        ("laptop", "confirmed"), ("mnist", "confirmed"), ("paper", "fragile"),
    ]}  # fmt: skip
    assert answer.lead("A-1", found) == "No effect that matters at laptop and mnist (confirmed) and paper (fragile)"


def test_a_sentence_says_how_its_claim_stands_on_fresh_seeds():
    records = {"laptop": given.records()}
    seen = answer.blocks(given.claims(), records, {"laptop": given.confirmation()}, "laptop")
    assert answer.lead("DD-1", seen) == "Holds at laptop (confirmed)"
    assert answer.lead("DD-5", seen) == "Holds at laptop (fragile)"
    told = " ".join(answer.undecided(seen["laptop"], "laptop", answer.Links(given.claims(), ())))
    assert "Fresh seeds turned one: DD-5." in told
    without = answer.blocks(given.claims(), records, {}, "laptop")["laptop"]
    assert "Fresh seeds" not in " ".join(answer.undecided(without, "laptop", answer.Links(given.claims(), ())))


def test_what_holds_comes_first():
    seen = found(laptop=rows(A_1="inconclusive", A_2="contradicted", A_3="replicated"))
    made = answer.sentences(CLAIMS, ["A-1", "A-2", "A-3"], seen, "laptop")
    assert [one.claim.id for one in made] == ["A-3", "A-2", "A-1"]


def test_a_statement_and_a_title_are_text_and_never_tags():
    html = section(laptop=rows(C_1="replicated"))
    assert "Nets &lt; 5 &amp; others learn" in html and "Nets < 5" not in html


# --- which claims speak ---------------------------------------------------------------------------------------


def test_named_claims_speak_in_their_groups_and_else_the_first_primary_ones():
    groups = answer.chosen(CLAIMS, {TWO: {"goes": ["B-2"], "does": ["B-1"]}}, {ONE, TWO})
    assert groups == {"does": ["B-1"], "goes": ["B-2"], answer.OTHERS: ["A-2", "A-3"]}  # A-1 is not primary
    assert list(groups) == ["does", "goes", answer.OTHERS]


def test_a_study_that_comes_later_joins_by_its_records_alone():
    before, after = section(laptop=rows(A_2="replicated")), section(laptop=rows(A_2="replicated", C_1="contradicted"))
    assert "C-1" not in before and "Nothing yet from: The second and The third." in Page(before).text
    assert (
        "Does not hold at laptop: Nets < 5" in Page(after).text and "Nothing yet from: The second." in Page(after).text
    )


def answering(answers):
    return answer.stated(CLAIMS, {ONE: StudyInfo("One", "One?", answers=answers), TWO: StudyInfo("Two", "Two?")})


def test_a_study_names_its_answers():
    assert answering({"does": ["A-1"], "goes": ["A-4", "A-2"]}) == {ONE: {"does": ["A-1"], "goes": ["A-4", "A-2"]}}
    assert answering({}) == {}


WRONG = [{"dose": ["A-1"]}, {"does": ["B-1"]}, {"does": ["Z-9"]}, {"does": "A-1"}, ["A-1"], {"others": ["A-1"]}]


@pytest.mark.parametrize("answers", WRONG)
def test_answers_that_name_something_else_are_refused(answers):
    with pytest.raises(BadInput, match="answers in 01_one.yaml"):
        answering(answers)


def test_the_projects_own_claims_name_answers_that_exist():
    for study, groups in answer.stated(load_claims(), load_studies()).items():
        assert groups and all(load_claims()[id].study == study for ids in groups.values() for id in ids)


# --- what stays open, and where profiles agree ----------------------------------------------------------------


def part(**more):
    return {"name": "x", "verdict": "inconclusive", "n": 5, "censored": 0, "underpowered": False, "of": "source"} | more


@pytest.mark.parametrize(
    ("reason", "more"),
    [
        ("setting", {"adequacy": {"learns": True, "fits": False}, "parts": [part(underpowered=True)]}),
        ("censored", {"parts": [part(n=2, censored=3, underpowered=True)]}),
        ("power", {"parts": [part(), part(underpowered=True)]}),
        ("overlap", {"parts": [part(n=3, censored=2)]}),
        ("overlap", {"parts": [part(), part(of="ours", underpowered=True), part(verdict="null", underpowered=True)]}),
    ],
)
def test_an_open_verdict_says_why(reason, more):
    given_row = row("A-1", "inconclusive", **more)
    assert answer.why_open(given_row) == reason
    told = Page(section(laptop=[given_row, *rows(A_2="replicated", A_3="descriptive", A_4="not_run")])).text
    assert f"At laptop one of two claims stayed open: one because {answer.WHY_OPEN[reason]} ( A-1 )." in told


def test_where_nothing_is_open_or_nothing_judged_it_says_so():
    assert "Nothing that was judged at laptop stayed open (one claim)." in section(laptop=rows(A_2="null"))
    assert "Nothing was put to a decision at laptop." in section(laptop=rows(A_2="descriptive", A_3="not_run"))


def told(one, other):
    seen = found(laptop=rows(**one), mnist=rows("mnist", **other))
    return " ".join(answer.agreement(seen["laptop"], seen["mnist"], "laptop", "mnist", answer.Links(CLAIMS, ())))


def test_profiles_that_agree_everywhere_nowhere_and_in_part():
    yes, no = {"A_1": "replicated", "A_2": "null"}, {"A_1": "contradicted", "A_2": "replicated"}
    assert told(yes, yes) == "Both decide two claims, and come to the same verdict each time."
    assert told(yes, no).startswith(
        "Both decide two claims, and agree on none. A-1: replicated at laptop, contradicted"
    )
    assert told(yes, yes | {"A_2": "replicated"}) == (
        "Both decide two claims, and agree on one. A-2: no effect at laptop, replicated at mnist."
    )


def test_what_one_profile_leaves_open_is_counted_apart_and_what_neither_judges_not_at_all():
    one = {"A_1": "replicated", "A_2": "inconclusive", "A_3": "descriptive", "A_4": "not_run"}
    other = {"A_1": "replicated", "A_2": "replicated", "A_3": "descriptive", "A_4": "replicated", "A_5": "replicated"}
    assert told(one, other) == (
        "Both decide one claim, and come to the same verdict each time. "
        "One claim more stayed open at one of them, or at both."
    )
    assert told({"A_1": "inconclusive"}, {"A_1": "replicated"}) == "No claim is decided at both laptop and mnist."


def test_every_two_profiles_with_records_are_compared_and_a_smoke_run_with_none():
    several = {name: rows(name, A_2="replicated") for name in ("laptop", "mnist", "paper")}
    heads = re.findall("Where (.*?) agree", section(**several))
    assert heads == ["laptop and mnist", "laptop and paper", "mnist and paper"]
    smoke = section(profile="smoke", smoke=rows("smoke", A_2="plumbing_ok"), **several)
    assert "Where" not in smoke and "laptop" not in Page(smoke).text


# --- the picture ----------------------------------------------------------------------------------------------


def marks(html):
    return re.findall(r'<g class="v-(\w+)" transform="translate\(([\d.]+) ([\d.]+)\)"><title>([\w-]+):', html)


def test_each_claim_of_a_study_with_records_is_a_mark_on_the_line_of_each_profile():
    html = section(laptop=rows(A_1="null", A_2="replicated"), mnist=rows("mnist", A_1="replicated", B_1="partly"))
    drawn = marks(html)
    assert sorted(id for *_, id in drawn) == sorted([f"A-{n}" for n in range(1, 6)] * 2 + ["B-1", "B-2"] * 2)
    columns = {id: {x for _, x, _, other in drawn if other == id} for id in ("A-1", "A-2", "B-1")}
    assert all(len(xs) == 1 for xs in columns.values())  # the lines of two profiles stand under each other
    words = {(id, y): word for word, _, y, id in drawn}
    upper, lower = sorted({float(y) for *_, y, id in drawn if id == "A-1"})
    assert words["A-1", f"{upper:g}"] == "null" and words["A-1", f"{lower:g}"] == "replicated"


def test_every_verdict_has_a_shape_of_its_own_and_its_key():
    word = {f"A_{n}": verdict for n, verdict in enumerate(list(KNOWN)[:5], 1)}
    html = section(laptop=rows(**word, B_1=KNOWN[5], B_2=KNOWN[6], C_1=KNOWN[8]))
    shapes = dict(re.findall(r'<g class="v-(\w+)".*?<path d="([^"]+)"', html))
    assert len(shapes) == 8 == len({*shapes.values()})
    assert {word for word in VERDICTS if f'class="chip v-{word}"' in html} == {*shapes}


def test_a_study_of_many_claims_goes_on_below_and_nothing_lies_outside():
    many = Claims({one.id: one for one in (claim(f"A-{n}", ONE) for n in range(1, answer.COLUMNS + 4))})
    records = {"laptop": [row(id, "replicated") | {} for id in ("A-1",)]}
    html = answer.figure(many, TITLES, answer.blocks(many, records, {}, "laptop"))
    places = {(float(x), float(y)) for _, x, y, _ in marks(html)}
    height = float(re.search(rf'viewBox="0 0 {answer.WIDTH} ([\d.]+)"', html)[1])
    assert len(places) == len(many) and len({y for _, y in places}) == 2
    assert max(x for x, _ in places) + 16 <= answer.WIDTH and max(y for _, y in places) + 16 <= height


def test_the_picture_is_told_in_words():
    html = section(laptop=rows(A_1="null", A_2="replicated", A_3="replicated"))
    label = next(attrs for tag, attrs in Page(html).tags if attrs.get("class") == "whole")
    assert label["role"] == "img"
    assert label["aria-label"] == "Verdicts by study. The first, laptop: 2 replicated, 1 no effect, 2 not yet."


# --- in the page ----------------------------------------------------------------------------------------------


def test_ids_are_links_only_where_their_study_has_a_page():
    html = section(pages=[ONE], laptop=rows(A_2="replicated", B_1="inconclusive"))
    assert {link.split("#")[0] for link in Page(html).links} == {"01_one.html"}
    assert "B-1" in Page(html).text and check_page(html) == html


def test_before_anything_was_judged_there_is_no_answer():
    assert section(laptop=[]) == "" and section(laptop=[], mnist=rows("mnist", A_2="null")) == ""


def test_records_on_claims_that_are_no_more_are_left_out():
    gone = row("A-1", "replicated") | {"id": "GONE-1"}
    assert "GONE" not in section(laptop=[gone, *rows(A_2="replicated")])
