"""Reading YAML and JSON: what is wrong is told in one sentence, with the file and the line."""

import pytest

from redlib.errors import BadInput
from redlib.evidence import reading


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: 1\nb: 2\na: 3\n", r"name in f.yaml, line 3 = 'a'.*line 1 has it"),
        ("a:\n  - {deep: 1, other: 2,\n     deep: 1}\n", r"line 3 = 'deep'.*line 2 has it"),
        ("a: 1\n'a': 2\n", "line 2 = 'a'"),
        ("1: a\n'1': b\n", "line 2 = '1'"),
        ("a: [1, 2\nb: 3\n", r"^f.yaml is not valid YAML: line 2: .*expected ',' or '\]'"),
        ("a: b: c\n", "^f.yaml is not valid YAML: line 1: mapping values are not allowed"),
        ("a: *nobody\n", "^f.yaml is not valid YAML: line 1: .*undefined alias"),
        ("a: 2026-13-01\n", "^f.yaml is not valid YAML: .*month must be in 1..12"),
        ("a: !!python/name:os.system\n", "^f.yaml is not valid YAML: line 1: .*python/name"),
        ("a: \x00\n", "^f.yaml is not valid YAML: "),
    ],
)
def test_yaml_that_cannot_be_meant_is_refused_in_one_line_with_its_place(text, told):
    with pytest.raises(BadInput, match=told) as error:
        reading.parsed_yaml(text, "f.yaml")
    assert "\n" not in str(error.value)


def test_anchors_merges_and_equal_names_in_different_mappings_are_no_twins():
    text = """
shared: &shared {a: 1, b: 2}
own: {<<: *shared, b: 3}
nested: {<<: {<<: *shared, a: 4}, c: 5}
list: [*shared, *shared, {a: 6}]
"""
    found = reading.parsed_yaml(text, "f.yaml")
    assert found["own"] == {"a": 1, "b": 3} and found["nested"] == {"a": 4, "b": 2, "c": 5}
    assert found["list"] == [{"a": 1, "b": 2}, {"a": 1, "b": 2}, {"a": 6}]
    assert reading.parsed_yaml("", "f.yaml") is None


def test_text_in_another_encoding_is_refused_by_the_name_of_its_file(tmp_path):
    path = tmp_path / "f.yaml"
    path.write_bytes("é: 1".encode("latin-1"))
    with pytest.raises(BadInput, match="f.yaml is not UTF-8 text: byte 0 is 0xe9"):
        reading.read_text(path)


def test_json_that_is_cut_off_or_no_mapping_is_refused_with_its_line(tmp_path):
    path = tmp_path / "f.json"
    assert reading.read_json(path) == {}
    for text, told in (
        ('{\n "a": 1,\n "b":', "f.json is not valid JSON: line 3, column 6"),
        ("[1]", "f.json = 'list'"),
    ):
        path.write_text(text)
        with pytest.raises(BadInput, match=told):
            reading.read_json(path)
    path.write_text("[" * 100_000)
    with pytest.raises(BadInput, match="nested too deeply"):
        reading.read_json(path)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('{"id": "A-1", "verd', "f.jsonl is not valid JSON: line 3, column "),
        ("<<<<<<< HEAD", "f.jsonl is not valid JSON: line 3, column 1"),
        ("[1]", "f.jsonl is damaged: line 3 lacks id"),
        ('{"id": 3}', "f.jsonl is damaged: line 3 lacks id"),
    ],
)
def test_a_line_that_is_no_record_is_refused_with_its_number(line, told):
    whole = '{"id": "A-0"}\n\n'
    assert reading.json_lines(whole, "f.jsonl", ["id"]) == [{"id": "A-0"}]
    with pytest.raises(BadInput, match=told):
        reading.json_lines(whole + line, "f.jsonl", ["id"])
