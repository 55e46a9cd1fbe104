"""The registry of laws and the reader of law files: families, aliases, templates, designs, refusals."""

from __future__ import annotations

import ast
import importlib.util
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import scalinglaws as sl
from scalinglaws.errors import FormulaError
from scalinglaws.laws import FAMILIES, Laws

ROOT = Path(__file__).parents[1]

MIXTURE = """
id = "mixture"
aliases = ["mixing", "blend"]
title = "Additive mixture"
family = "data mixture and quality"
formula = "L ~ E + sum[i](C{i} * h{i}**g{i})"
describes = "Loss against the weights of domains."
papers = ["Somebody 2020"]
notes = "Weights sum to one; also known from pharmacology."

[inputs]
"h{i}" = "weight of domain {i}"

[ranges]
"h{i}" = [0.05, 0.95]

[params]
E = { domain = "positive", start = [0.1, 3.0] }
"C{i}" = { domain = "positive", start = [0.01, 100.0], sampling = "log", meaning = "use of domain {i}" }
"g{i}" = { domain = "positive", start = [0.05, 3.0], sampling = "log" }

[over]
i = ["1", "2"]

[grid]
E = [1.0, 2.0]
"C{i}" = { log = [0.0, 1.0] }
"g{i}" = [0.5]

[design]
rows = "paired"
"h{i}" = [0.2, 0.8]

[[published]]
source = "Somebody 2020, Table 1"
values = { E = 1.0, C1 = 2.0, g1 = 0.5, C2 = 3.0, g2 = 1.0 }

[[check]]
inputs = { h1 = 0.25, h2 = 0.75 }
published = 0
result = 4.25
"""
GROUPED = """
id = "grouped"
title = "Grouped"
family = "a family of its own"
formula = "L ~ E + A[lang] / N"

[inputs]
N = "parameters"
lang = "language"

[ranges]
N = [1e6, 1e9]

[params]
E = { domain = "positive" }
A = { domain = "positive" }

[design]
N = [1e6, 1e7]
lang = ["de", "en"]

[[published]]
source = "Somebody"
values = { E = 1.0, A = { de = 100.0, en = 50.0 } }

[[check]]
inputs = { N = 10.0, lang = "de" }
published = 0
result = 11.0

[[check]]
inputs = { N = 10.0, lang = "en" }
values = { E = 1.0, A = { en = 20.0 } }
result = 3.0
"""
PLAIN = """
id = "plain"
title = "Plain law"
family = "generic"
formula = "L ~ A / N"
describes = "Loss of a mixture of nothing."
[params]
A = { domain = "positive" }
"""


@pytest.fixture
def folder(tmp_path):
    for text in (MIXTURE, GROUPED, PLAIN):
        id = re.search('id = "(.*)"', text)[1]
        (tmp_path / f"{id}.toml").write_text(text, encoding="utf-8")
    return tmp_path


@pytest.fixture
def laws(folder):
    return Laws(folder)


# ---- the mapping
# ------------------------------------------------------------------------------------------------------


def test_aliases_lead_to_the_same_law_and_are_not_counted(laws):
    assert laws["mixing"] is laws["blend"] is laws.mixing is laws["mixture"]
    assert list(laws) == ["grouped", "mixture", "plain"]
    assert len(laws) == 3
    assert "blend" in laws
    assert dict(laws.aliases) == {"mixing": "mixture", "blend": "mixture"}
    assert {"mixing", "mixture", "search", "families"} <= set(dir(laws))
    with pytest.raises(KeyError, match="Did you mean 'blend'"):
        laws["blendd"]


def test_families_hold_each_law_once_in_their_order(laws):
    assert list(laws.families) == ["generic", "data mixture and quality", "a family of its own"]
    assert dict(laws.families)["data mixture and quality"] == ("mixture",)
    with pytest.raises(TypeError):
        laws.families["generic"] = ()
    assert laws.mixture.family == "data mixture and quality"


def test_search_reads_ids_aliases_titles_families_descriptions_papers_and_notes(laws):
    def found(text):
        return [law.id for law in laws.search(text)]

    assert found("BLEND") == found("somebody") == found("quality") == found("pharmacology") == ["mixture"]
    assert found("family of its own") == ["grouped"]
    assert found("mixture quality generic") == []


def test_search_puts_what_only_the_notes_mention_last(folder):
    (folder / "another.toml").write_text(
        PLAIN.replace('"plain"', '"another"').replace("a mixture of", "") + "", encoding="utf-8"
    )
    text = (folder / "another.toml").read_text(encoding="utf-8")
    (folder / "another.toml").write_text('notes = "not a mixture"\n' + text, encoding="utf-8")
    assert [law.id for law in Laws(folder).search("mixture")] == ["mixture", "plain", "another"]


def test_a_file_that_changes_is_read_again_by_search_and_families(folder, laws):
    assert "generic" in laws.families
    path = folder / "plain.toml"
    path.write_text(PLAIN.replace("generic", "physics and more"), encoding="utf-8")
    assert "physics and more" in laws.families
    path.unlink()
    assert "plain" not in laws


def test_an_alias_must_not_be_an_id_or_an_alias_of_another_law(folder):
    path = folder / "plain.toml"
    for alias, other in (("grouped", "grouped"), ("blend", "mixture")):
        path.write_text(f'aliases = ["{alias}"]\n' + PLAIN, encoding="utf-8")
        with pytest.raises(
            ValueError, match=rf"plain.toml:1: aliases: '{alias}' is an id of '{other}' already"
        ):
            Laws(folder).aliases  # noqa: B018
    assert Laws(folder)["plain"].id == "plain", "a law of a known id needs no other file"


def test_the_catalogue_has_families_of_the_list_and_no_id_twice():
    assert set(sl.laws.families) <= set(FAMILIES)
    ids = [id for members in sl.laws.families.values() for id in members]
    assert sorted(ids) == list(sl.laws)
    assert not set(sl.laws.aliases) & set(ids)
    for name in (*ids, *sl.laws.aliases):
        assert name not in dir(Laws), f"the id {name!r} hides a method of the registry"
        assert name.isidentifier()


@pytest.mark.parametrize("id", sorted(sl.laws))
def test_every_law_of_the_catalogue_loads_with_its_checks(id):
    path = Path(sl.__file__).parent / "catalogue" / f"{id}.toml"
    law = Laws.load(path)
    assert law == sl.laws[id]
    assert law.family in FAMILIES
    assert pickle.loads(pickle.dumps(law)) == law


def test_type_checkers_know_every_id():
    spec = importlib.util.spec_from_file_location("write_ids", ROOT / "tools" / "write_ids.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    assert tool.STUB.read_text(encoding="utf-8") == tool.stub(), "the stub is stale: run `make stubs`"
    assert tool.main(["--check"]) == 0
    tree = ast.parse(tool.STUB.read_text(encoding="utf-8"))
    catalogue = next(node for node in tree.body if isinstance(node, ast.ClassDef))
    known = {node.name for node in catalogue.body if isinstance(node, ast.FunctionDef)}
    assert known == {*sl.laws, *sl.laws.aliases}
    assert known <= set(dir(sl.laws))


# ---- the reader
# -------------------------------------------------------------------------------------------------------


def test_a_template_file_makes_the_law_of_its_default_labels(folder):
    law = Laws.load(folder / "mixture.toml")
    assert law.formula == "L ~ E + C1 * h1**g1 + C2 * h2**g2"
    assert list(law.params) == ["E", "C1", "g1", "C2", "g2"]
    assert law.params["C2"].meaning == "use of domain 2"
    assert law.meanings["h1"] == "weight of domain 1"
    assert law.grid["C2"] == (1.0, np.exp(1.0))
    assert law.ranges["h2"] == (0.05, 0.95)
    assert {name: column.tolist() for name, column in law.design.columns().items()} == {
        "h1": [0.2, 0.8],
        "h2": [0.2, 0.8],
    }
    other = law.over(i=("web", "code", "math"))
    assert other.inputs == ("h_web", "h_code", "h_math")
    assert other.grid["g_math"] == (0.5,)
    assert other.published == ()


def test_grouped_parameters_have_values_by_category(folder):
    law = Laws.load(folder / "grouped.toml")
    assert law.published[0].values == {"E": 1.0, "A[de]": 100.0, "A[en]": 50.0}
    check = law.checks[0]
    assert check.values == {"E": 1.0, "A": {"de": 100.0, "en": 50.0}}
    assert law(**check.inputs, **check.values) == 11.0
    assert check.numbers(law.groups) == {"N": 10.0, "E": 1.0, "A": 100.0}
    assert law.design.columns()["lang"].tolist() == ["de", "en", "de", "en"]


FAULTS = {
    "no labels": (MIXTURE, '[over]\ni = ["1", "2"]\n', "", "over: the index 'i' has no labels"),
    "another index": (
        MIXTURE,
        'i = ["1", "2"]',
        'i = ["1"]\nk = ["2"]',
        "over: the formula has no index 'k'",
    ),
    "bad label": (MIXTURE, 'i = ["1", "2"]', 'i = ["1 2"]', "over: the label '1 2'"),
    "label as text": (MIXTURE, 'i = ["1", "2"]', 'i = "12"', "over: the labels of 'i' are a sequence"),
    "labels without an index": (
        PLAIN,
        "[params]",
        '[over]\ni = ["1"]\n[params]',
        r":7: over: the formula has no index",
    ),
    "index of no reduction": (
        MIXTURE,
        '"g{i}" = { domain',
        '"g{k}" = { domain',
        "params: 'g{k}' has the index 'k'",
    ),
    "published by placeholder": (
        MIXTURE,
        "C1 = 2.0,",
        '"C{i}" = 2.0,',
        r"published\[0\]: there is no parameter 'C{i}'",
    ),
    "failing check": (
        MIXTURE,
        "result = 4.25",
        "result = 4.26",
        r":\d+: check\[0\]\.result: the formula gives 4.25",
    ),
    "grid of one label": (MIXTURE, '"g{i}" = [0.5]', '"g1" = [0.5]', "grid: the parameter 'g2' is missing"),
    "range of no input": (
        MIXTURE,
        '"h{i}" = [0.05, 0.95]',
        "h3 = [0.05, 0.95]",
        "ranges.h3: there is no input 'h3'",
    ),
    "design of no input": (
        MIXTURE,
        '"h{i}" = [0.2, 0.8]',
        '"h{i}" = [0.2]\nx = [1]',
        "design.x: there is no input 'x'",
    ),
    "incomplete design": (MIXTURE, '"h{i}" = [0.2, 0.8]', "h1 = [0.2]", "design: the input 'h2' is missing"),
    "uneven design": (
        MIXTURE,
        '"h{i}" = [0.2, 0.8]',
        "h1 = [0.2]\nh2 = [0.2, 0.3]",
        "design: .*equally long",
    ),
    "unknown rows": (MIXTURE, '"paired"', '"pairs"', "design: .*Did you mean 'paired'"),
    "design that is no list": (MIXTURE, '"h{i}" = [0.2, 0.8]', '"h{i}" = 0.5', "design.h{i}: must be a list"),
    "aliases as text": (MIXTURE, '["mixing", "blend"]', '"mixing"', ":3: aliases: must be a list of texts"),
    "unknown category": (
        GROUPED,
        'lang = "de" }',
        'lang = "fr" }',
        r"check\[0\]: 'A' has no value for the category 'fr'",
    ),
    "text for a number": (
        GROUPED,
        "A = { en = 20.0 }",
        'A = { en = "x" }',
        r"check\[1\].*en must be a number",
    ),
    "missing category": (GROUPED, ', lang = "en"', "", r"check\[1\]: 'A' has no value for the category ''"),
    "missing domain": (
        GROUPED,
        'E = { domain = "positive" }',
        "E = { start = [1.0, 2.0] }",
        r":15: params\.E: the key 'domain' is missing",
    ),
    "input that the formula does not use": (
        PLAIN,
        "[params]",
        '[inputs]\nN = "parameters"\nD = "tokens"\n[params]',
        r":9: inputs\.D: the formula does not use it",
    ),
    "meaning that is no text": (
        MIXTURE,
        '"weight of domain {i}"',
        "3",
        r":12: inputs\.h{i}: must be text, not 3",
    ),
    "notes that are no text": (
        GROUPED,
        'source = "Somebody"',
        'source = "Somebody"\nnotes = -inf',
        r":24: published\[0\]\.notes: must be text, not -inf",
    ),
    "verified that is no truth": (
        PLAIN,
        'family = "generic"',
        "verified = 1",
        ":4: verified: must be true or false",
    ),
    "empty title": (PLAIN, '"Plain law"', '" "', ":3: title: is empty"),
    "grid of texts": (MIXTURE, "E = [1.0, 2.0]", 'E = ["1.0"]', r":26: grid\.E: cannot read the numbers"),
    "endless range": (MIXTURE, "[0.05, 0.95]", "[0.05, inf]", r"ranges\.h{i}: must be \[low, high\]"),
    "category of a single parameter": (
        GROUPED,
        "values = { E = 1.0, A = { de",
        "values = { E = { de = 1.0 }, A = { de",
        r":22: published\[0\]: 'E' is not grouped by a column: 'E\[de\]'",
    ),
    "one value for a grouped parameter": (
        GROUPED,
        "A = { de = 100.0, en = 50.0 } }",
        "A = 100.0 }",
        r":22: published\[0\]: 'A' is grouped by a column: 'A'",
    ),
    "truth for a number": (
        GROUPED,
        "result = 3.0",
        "result = true",
        r"check\[1\]: the number 'result' is missing",
    ),
    "no parameter": (PLAIN, 'A = { domain = "positive" }', "", "params: there is no parameter"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_file_is_refused_with_file_line_and_table(tmp_path, fault):
    text, old, new, message = FAULTS[fault]
    assert text.count(old) >= 1
    path = tmp_path / "mine.toml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ValueError, match=message.replace("{", r"\{").replace("}", r"\}")) as caught:
        sl.laws.load(path)
    assert re.match(re.escape(str(path)) + r":\d+:", str(caught.value))


@pytest.mark.parametrize(
    ("formula", "message", "position"),
    [
        ("L ~ E + sum[i](C{i} * h{i}**g{i}", "is not closed", 8),
        ("L ~ E + sum[i](C{i} * h{j}**g{i})", "'h{j}' stands outside", 22),
        ("L ~ E + sum[i](C{i} * h{i}**gg{i})", "'gg1' is declared neither", 17),
    ],
)
def test_a_faulty_template_is_refused_with_file_and_caret(tmp_path, formula, message, position):
    path = tmp_path / "mine.toml"
    path.write_text(MIXTURE.replace("L ~ E + sum[i](C{i} * h{i}**g{i})", formula), encoding="utf-8")
    with pytest.raises(FormulaError) as caught:
        sl.laws.load(path)
    assert re.search(f"mine.toml:6: formula: .*{re.escape(message)}", caught.value.message)
    assert caught.value.position == position


def test_a_file_in_another_encoding_is_refused(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_bytes(PLAIN.replace("nothing", "n\xf6thing").encode("latin-1"))
    with pytest.raises(ValueError, match=r"mine\.toml: this is not UTF-8"):
        sl.laws.load(path)


def test_a_text_that_looks_like_a_table_does_not_mislead_the_line_number(tmp_path):
    path = tmp_path / "mine.toml"
    notes = "notes = '''\n[params]\nA = 3\n'''\n"
    path.write_text(notes + PLAIN.replace('domain = "positive"', 'domain = "plus"'), encoding="utf-8")
    with pytest.raises(ValueError, match=r"mine\.toml:12: params\.A: domain must be"):
        sl.laws.load(path)


def test_a_file_without_parameters_is_a_formula_to_call(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        'id = "mine"\ntitle = "Compute"\nformula = "C ~ 6 * N * D"\n[inputs]\nN = "parameters"\nD = ""\n'
        "[params]\n[[check]]\ninputs = { N = 2.0, D = 3.0 }\nvalues = {}\nresult = 36.0\n",
        encoding="utf-8",
    )
    assert sl.laws.load(path)(N=1.0, D=1.0) == 6.0
