"""What all explorers share: ids by content, a limit of their size, and that a study gets only the one it imports."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from redlib.errors import BadInput
from redlib.evidence.code import module_digests
from redlib.report import fragments

REPORT = Path(fragments.__file__).parent
EXPLORERS = {path.stem for path in REPORT.glob("*.py") if "import drawn" in path.read_text(encoding="utf-8")}


def made(**changes: Any) -> str:
    """Return a fragment of little content, in the looks of the curve explorer."""
    content: dict[str, Any] = {"template": "explorer", "data": {"a": 1}, "body": "<p>here</p>", "title": ""} | changes
    body = content.pop("body")
    return fragments.fragment(**content, body=lambda id: f'<i id="{id}-i"></i>{body}', remedy="Say less.")


def ids(html: str) -> list[str]:
    return re.findall(r' id="(\S+)"', html)


def test_fragments_that_differ_in_anything_have_ids_of_their_own():
    changed = [{}, {"data": {"a": 2}}, {"body": "<p>there</p>"}, {"title": "here"}, {"template": "mask_explorer"}]
    found = [ids(made(**change)) for change in changed]
    assert len({first for first, _ in found}) == len(changed) and made() == made()
    assert all(re.fullmatch(r"twin-[0-9a-f]{8}", first) and inner == f"{first}-i" for first, inner in found)
    id = found[0][0]
    assert f'getElementById("{id}"), {{"a":1}});' in made() and f"#{id} label" in made() and "ID" not in made()


def test_data_cannot_end_the_script_and_the_title_is_text():
    html = made(data={"a": "</script><!--"}, title="<b>")
    assert html.count("</script>") == 1 and "<!--" not in html and '<p class="title">&lt;b&gt;</p>' in html


def test_one_too_large_is_refused_with_the_remedy():
    room = fragments.MAX_BYTES - len(made().encode())
    assert len(made(body="<p>here</p>" + "é" * (room // 2)).encode()) >= fragments.MAX_BYTES - 1
    with pytest.raises(BadInput, match=r"(?s)size of the explorer.*Say less\."):
        made(body="<p>here</p>" + "é" * (room // 2 + 1))


def test_ticks_and_ranges_are_round():
    assert fragments.round_ticks(0.1, 0.93) == [0.2, 0.4, 0.6, 0.8]
    assert fragments.round_ticks(-3, 3) == [-2, 0, 2] and fragments.round_ticks(0, 0.5) == [0, 0.1, 0.2, 0.3, 0.4, 0.5]
    assert fragments.round_range(3, 97) == (0, 100, 20) and fragments.round_range(7, 7) == (6, 8, 2)


def test_a_study_that_imports_one_explorer_imports_no_other_and_only_explorers_need_widgets():
    assert {"curve_explorer", "mask_explorer", "point_player", "signal_explorer", "blur_explorer"} <= EXPLORERS
    for name in EXPLORERS:
        reached = {module.rpartition(".")[2] for module in module_digests(f"redlib.report.{name}")}
        assert reached & EXPLORERS == {name}
