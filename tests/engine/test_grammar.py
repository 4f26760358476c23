"""Grammars without a model: GBNF and its errors, expressions, schemas, composition."""

import json
import random
import re
import time

import jsonschema
import pytest

from mullama_media import Grammar
from mullama_media.errors import GrammarError
from tests.engine import schemas

JSON_TEXTS = {
    True: ["{}", "[]", '{"a":[1,{"b":null}],"c":"x\\n\\u00e9 é"}', "-0", "1.5e3", '"\\ud83e"'[:-2]],
    False: ["", "[1,]", "tru", '"a', '"\n"', "01", "{'a':1}", '"\\x"', "nul l", "[1}", '"\\ud83e"'],
}


def test_gbnf_matches_whole_texts():
    rules = 'root ::= "a" ("b" | [c-e])* x{2,3} # twice or thrice\nx ::= "é" | "\\n"'
    grammar = Grammar.gbnf(rules)
    for text in ("aéé", "abcdé\n", "a\n\n\n"):
        assert grammar.matches(text)
        assert grammar.begins(text)
    for text in ("", "a", "aé", "aéééé", "abbf", "abéb"):
        assert not grammar.matches(text)
    assert grammar.begins("abc")
    assert not grammar.begins("abcf")
    assert Grammar.gbnf(grammar.text).text == grammar.text
    assert Grammar.gbnf('a ::= "x"\nb ::= a a', root="b").matches("xx")


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("", 1, 1, "empty"),
        ("# nothing\n\n", 3, 1, "empty"),
        ("root", 1, 5, "expected ::="),
        ('root ::= "a', 1, 12, "expected '\"'"),
        ('root ::= "a"\nb := "c"', 2, 3, "expected ::="),
        ('root ::= "é" é', 1, 14, "expected an item"),
        ("root ::= [z-a]", 1, 11, "backwards"),
        ("root ::= []", 1, 10, "no character"),
        ("root ::= [^\\U00000000-\\U0010FFFF]", 1, 10, "no character"),
        ("root ::= [\\ud800-\\udfff]", 1, 10, "no character"),
        ("root ::= [ab", 1, 13, "expected ']'"),
        ('root ::= "\\q"', 1, 12, "expected an escape"),
        ('root ::= "\\x4"', 1, 14, "2 hexadecimal"),
        ('root ::= "\\U00110000"', 1, 21, "U\\+10FFFF"),
        ('root ::= "\\ud800"', 1, 11, "surrogate"),
        (b'root ::= "\xff"', 1, 11, "UTF-8"),
        (b"root ::= [\xc3]", 1, 11, "UTF-8"),
        ("root ::= x", 1, 10, "not defined"),
        ('root ::= "a"\n\nroot ::= "b"', 3, 1, "twice"),
        ('foo ::= "a"', 1, 1, "no rule 'root'"),
        ('root ::= ("a"\n | "b"', 2, 7, r"'\)' for the '\(' of line 1, column 10"),
        ('root ::= "a" )', 1, 14, "found '\\)'"),
        ("root ::= *", 1, 10, "nothing before '\\*'"),
        ('root ::= "a"{2,1}', 1, 13, "before it begins"),
        ('root ::= "a"{x}', 1, 14, "expected a number"),
        ('root ::= "a"{1000000}', 1, 14, "10000 at most"),
        ('root ::= "a"{99999999999999999999}', 1, 14, "10000 at most"),
        ('root ::= ("a"{1000}){1000}', 1, 21, "too large"),
        ('root ::= "a"' + "*" * 20, 1, 23, "repetitions on one item"),
        ("root ::= " + "(" * 100_000, 1, 110, "100 deep"),
        ("root ::= <[x]>", 1, 11, "token id"),
        ("root ::= <abc", 1, 11, "a token"),
        ('root ::= !"a"', 1, 11, "'<' of a token"),
        ('root ::= root "a" | "b"', 1, 10, "left recursion"),
        ('root ::= x "a"\nx ::= y*\ny ::= x | "b"', 3, 7, "left recursion"),
        ('root ::= "a"? [b]* root | "c"', 1, 20, "left recursion"),
        ('root ::= "a" root', 1, 10, "never ends"),
        ('root ::= "a"\nloose ::= "(" loose ")"', 2, 11, "never ends"),
    ],
)
def test_a_gbnf_error_has_line_and_column(text, line, column, message):
    began = time.monotonic()
    with pytest.raises(GrammarError, match=message) as caught:
        Grammar.gbnf(text)
    assert (caught.value.line, caught.value.column) == (line, column)
    assert time.monotonic() - began < 1


def test_grammars_that_are_too_large_are_refused_quickly():
    began = time.monotonic()
    hostile = [
        "".join(f"r{i} ::= r{i + 1}\n" for i in range(15_000)) + 'r15000 ::= "a"',
        "".join(f"r{i} ::= r{i + 1} r{i + 1}\n" for i in range(3000)) + 'r3000 ::= "a"?',
        "root ::= " + " ".join(f'"{i}"' for i in range(700_000)),
        "".join(f'r{i} ::= "a"\n' for i in range(30_000)),
    ]
    for text in hostile:
        with pytest.raises(GrammarError):
            Grammar.gbnf(text, root="r0" if text.startswith("r0") else "root")
    assert time.monotonic() - began < 4


def test_an_ambiguous_grammar_takes_polynomial_time():
    doubling = Grammar.gbnf('root ::= s\ns ::= "a" s "b"? | "a" s "c"? | ""')
    began = time.monotonic()
    assert doubling.matches("a" * 400)
    assert doubling.matches("a" * 40 + "bcbc" * 10)
    assert not doubling.matches("a" * 40 + "b" * 41)
    nested = Grammar.gbnf('root ::= ((("a"*)*)* "b"?)*')
    assert nested.matches("a" * 3000 + "b")
    assert not nested.matches("a" * 3000 + "c")
    assert time.monotonic() - began < 3


def test_deep_texts_are_no_problem():
    anything = Grammar.json()
    assert anything.matches("[" * 20_000 + "]" * 20_000)
    assert not anything.matches("[" * 20_000 + "]" * 19_999)


@pytest.mark.parametrize("compact", [False, True])
def test_json_is_json(compact):
    grammar = Grammar.json(compact=compact)
    for text in JSON_TEXTS[True][:-1]:
        json.loads(text)
        assert grammar.matches(text), text
    for text in JSON_TEXTS[False]:
        assert not grammar.matches(text), text
    assert grammar.matches('{ "a" : 1 }'.replace(" :", ":")) is not compact


# -- expressions


def random_pattern(rng: random.Random, depth: int = 3) -> str:
    atoms = ["a", "b", "-", ".", "\\d", "\\w", "\\.", "[a-c]", "[^ab]", "[\\d.]", "\\x62", "\\s"]
    kind = rng.random() if depth else 0
    if kind < 0.35:
        return rng.choice(atoms)
    if kind < 0.6:
        return "".join(random_pattern(rng, depth - 1) for _ in range(rng.randint(0, 3)))
    if kind < 0.75:
        return f"({random_pattern(rng, depth - 1)}|{random_pattern(rng, depth - 1)})"
    times = rng.choice(["?", "*", "+", "{2}", "{1,}", "{0,2}", "{,2}"])
    return f"(?:{random_pattern(rng, depth - 1)}){times}"


def test_expressions_match_what_re_matches():
    rng = random.Random(5)
    matched = 0
    for _ in range(300):
        pattern = random_pattern(rng)
        grammar, reference = Grammar.regex(pattern), re.compile(pattern)
        for _ in range(20):
            text = "".join(rng.choice("ab-.1c \n_") for _ in range(rng.randint(0, 5)))
            expected = reference.fullmatch(text) is not None
            assert grammar.matches(text) == expected, (pattern, text)
            matched += expected
        drawn = schemas.text(grammar, rng, alphabet="ab-.1c _9", most=12)
        assert drawn is None or reference.fullmatch(drawn), (pattern, drawn)
    assert matched > 300


@pytest.mark.parametrize(
    ("pattern", "position", "message"),
    [
        ("a(b", 1, r"no '\)'"),
        ("a)", 1, r"no '\('"),
        ("a**", 1, "repetition of a repetition"),
        ("a+?", 1, "repetition of a repetition"),
        ("a{2}{3}", 1, "repetition of a repetition"),
        ("*a", 0, "nothing before"),
        ("a|{2}", 2, "nothing before"),
        ("a{5,2}", 1, "before it begins"),
        ("a{1,1000000}", 1, "10000 at most"),
        ("[b-a]", 1, "backwards"),
        ("[a", 0, "no ']'"),
        ("[\\d-z]", 1, "range needs"),
        ("[[:alpha:]]", 1, "named"),
        ("(?=a)", 0, "only"),
        ("(?P<n>a)", 0, "only"),
        ("(a)\\1", 3, "not supported"),
        ("a\\b", 1, "not supported"),
        ("a\\", 1, "not supported"),
        ("\\x4", 0, "2 hexadecimal"),
        ("a^b", 1, "at the ends"),
        ("a$b", 1, "at the ends"),
        ("(" * 100_000, 40, "40 deep"),
        ("\\ud800", 0, "surrogate"),
        ("[^\\x00-\\x7f\\w]", 0, "no character"),
    ],
)
def test_what_is_not_regular_or_wrong_is_refused_with_its_position(pattern, position, message):
    with pytest.raises(GrammarError, match=message) as caught:
        Grammar.regex(pattern)
    assert caught.value.position == position


# -- schemas


def test_integer_limits_are_exact():
    rng = random.Random(2)
    for _ in range(60):
        low = rng.randint(-2000, 2000)
        high = low + rng.choice([0, 1, 9, 60, 3000])
        grammar = Grammar.json_schema({"type": "integer", "minimum": low, "maximum": high})
        near = {*range(low - 12, low + 12), *range(high - 12, high + 12)}
        for value in near | set(range(-12, 1200, 7)):
            assert grammar.matches(str(value)) == (low <= value <= high), (low, high, value)
    for schema in ({"minimum": 100}, {"maximum": -100}, {"exclusiveMinimum": 9.5}):
        grammar = Grammar.json_schema({"type": "integer", **schema})
        validator = jsonschema.Draft202012Validator(schema)
        for value in range(-1200, 1200, 3):
            assert grammar.matches(str(value)) == validator.is_valid(value)


def test_texts_of_random_schemas_are_valid():
    rng = random.Random(11)
    drawn = 0
    for _ in range(250):
        schema = schemas.schema(rng)
        jsonschema.Draft202012Validator.check_schema(schema)
        grammar = Grammar.json_schema(schema, compact=rng.random() < 0.7)
        text = schemas.text(grammar, rng)
        if text is not None:
            jsonschema.validate(json.loads(text), schema, jsonschema.Draft202012Validator)
            drawn += 1
    assert drawn > 200


def test_a_pattern_is_of_the_string_not_of_its_json():
    schema = {"type": "string", "pattern": '^a.*"x\\\\[\\n]$'}
    grammar = Grammar.json_schema(schema)
    assert grammar.matches(json.dumps('aq"x\\\n'))
    assert not grammar.matches('"aq"x\\\n"')
    anywhere = Grammar.json_schema({"type": "string", "pattern": "[0-9]"})
    assert anywhere.matches('"abc5é"')
    assert not anywhere.matches('"abc"')


def test_lengths_count_characters():
    grammar = Grammar.json_schema({"type": "string", "minLength": 2, "maxLength": 3})
    assert [n for n in range(6) if grammar.matches(json.dumps("é" * n))] == [2, 3]
    assert [n for n in range(6) if grammar.matches('"' + "😀" * n + '"')] == [2, 3]
    assert not grammar.matches('"\\ud83d\\ude00"')  # one character in two halves


def test_schemas_come_in_several_forms():
    class Pydanticlike:
        @staticmethod
        def model_json_schema():
            return {"type": "boolean"}

    for form in (Pydanticlike, '{"type": "boolean"}', b'{"type": "boolean"}', {"type": "boolean"}):
        assert Grammar.json_schema(form).matches("true")
    assert Grammar.json_schema(True).matches("[1]")


def test_references_and_recursion():
    tree = {
        "$defs": {"a/b~": {"type": "array", "items": {"$ref": "#"}}},
        "type": "object",
        "properties": {"n": {"$ref": "#/$defs/a~1b~0"}},
    }
    grammar = Grammar.json_schema(tree, compact=True)
    assert grammar.matches('{"n":[{"n":[]},{}]}')
    assert not grammar.matches('{"n":[1]}')
    # two names that upstream would make one
    two = {
        "$defs": {"a_b": {"type": "integer"}, "a-b": {"type": "null"}},
        "prefixItems": [{"$ref": "#/$defs/a_b"}, {"$ref": "#/$defs/a-b"}],
    }
    assert Grammar.json_schema(two, compact=True).matches("[1,null]")


DEEP: dict = {}
for _ in range(100_000):
    DEEP = {"type": "array", "items": DEEP}


@pytest.mark.parametrize(
    ("schema", "where"),
    [
        ({"type": "string", "maxlength": 3}, "#/maxlength"),
        ({"type": "number", "minimum": 1}, "#/minimum"),
        ({"minimum": 1}, "#/minimum"),
        ({"type": "integer", "multipleOf": 2}, "#/multipleOf"),
        ({"type": "integer", "minimum": 3, "maximum": 2}, "#"),
        ({"type": "integer", "minimum": True}, "#/minimum"),
        ({"type": "integer", "maximum": 1e300}, "#/maximum"),
        ({"properties": {"a/b": {"minProperties": 1}}}, "#/properties/a~1b/minProperties"),
        ({"type": "object", "required": ["a"]}, "#/required/0"),
        ({"properties": {"a": {}}, "additionalProperties": {}}, "#/additionalProperties"),
        ({"properties": {"a": False}}, "#/properties/a"),
        ({"type": "object", "patternProperties": {}}, "#/patternProperties"),
        ({"type": "array", "uniqueItems": True}, "#/uniqueItems"),
        ({"type": "array", "contains": {}}, "#/contains"),
        ({"type": "array", "items": [{}]}, "#/items"),
        ({"prefixItems": [{}], "items": {}}, "#/items"),
        ({"prefixItems": [{}], "minItems": 2}, "#/prefixItems"),
        ({"type": "array", "minItems": 2, "maxItems": 1}, "#/maxItems"),
        ({"type": "array", "maxItems": 1000000}, "#/maxItems"),
        ({"type": "string", "format": "email"}, "#/format"),
        ({"type": "string", "format": "date", "minLength": 3}, "#/minLength"),
        ({"type": "string", "pattern": "^a$", "maxLength": 3}, "#/maxLength"),
        ({"type": "string", "pattern": "(?=a)"}, "#/pattern"),
        ({"type": "string", "pattern": "\\x01"}, "#/pattern"),
        ({"type": "string", "minLength": -1}, "#/minLength"),
        ({"type": "string", "enum": ["a", 1]}, "#/enum/1"),
        ({"enum": []}, "#/enum"),
        ({"const": 1, "minimum": 0}, "#/minimum"),
        ({"const": "\ud800"}, "#/const"),
        ({"const": float("nan")}, "#/const"),
        ({"enum": ["x"] * 1_000_000}, "#/enum"),
        ({"type": "strin"}, "#/type"),
        ({"type": []}, "#/type"),
        ({"anyOf": [{}], "type": "object"}, "#/type"),
        ({"anyOf": []}, "#/anyOf"),
        ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, "#/oneOf/1"),
        ({"oneOf": [{"type": "string"}, {}]}, "#/oneOf/1"),
        ({"allOf": [{"type": "object"}, {"type": "object"}]}, "#/allOf"),
        ({"not": {}}, "#/not"),
        ({"if": {}}, "#/if"),
        ({"$ref": "http://x/y"}, "#/$ref"),
        ({"$ref": "#/$defs/none"}, "#/$ref"),
        ({"$ref": "#/$defs/a", "minLength": 1, "$defs": {"a": {}}}, "#/minLength"),
        ({"$ref": "#"}, "#"),
        ({"$ref": "#/x-a", "x-a": {"$ref": "#/x-b"}, "x-b": {"$ref": "#/x-a"}}, "#"),
        ({"properties": {"a": {"$ref": "#"}}, "required": ["a"]}, "#"),
        (False, "#"),
        (3, "#"),
        ("{", "#"),
        ("[" * 100_000, "#"),
        ({"properties": {str(i): {} for i in range(3000)}}, "#/properties"),
        (DEEP, "#" + "/items" * 65),
    ],
)  # fmt: skip
def test_what_a_grammar_cannot_keep_is_refused_with_its_pointer(schema, where):
    began = time.monotonic()
    with pytest.raises(GrammarError) as caught:
        Grammar.json_schema(schema)
    assert caught.value.where == where
    assert time.monotonic() - began < 1


# -- composition


def test_composition_keeps_names_apart():
    a = Grammar.gbnf('root ::= x\nx ::= "a"')
    b = Grammar.gbnf('root ::= x\nx ::= "b"')
    both = a + b + "!" + (a | b).optional()
    assert both.matches("ab!")
    assert both.matches("ab!b")
    assert not both.matches("aa!")
    assert Grammar.gbnf(both.text).matches("ab!a")
    assert ("<" + a + ">").matches("<a>")
    assert ("no" | a).matches("no")


def test_repetition_and_separators():
    digit = Grammar.regex("[0-9]")
    listed = digit.repeat(1, 3, separator=", ")
    texts = ("", "1", "1, 2", "1, 2, 3", "1, 2, 3, 4", "1,2", "1, ")
    assert [t for t in texts if listed.matches(t)] == ["1", "1, 2", "1, 2, 3"]
    assert digit.repeat(separator=",").matches("")
    assert digit.repeat(separator=",").matches("1," * 50 + "1")
    assert digit.repeat(2).matches("12")
    assert not digit.repeat(2).matches("1")
    assert digit.repeat(0, 0, separator=",").matches("")
    for wrong in ((3, 2), (-1, 2), (0, -1), (0, 1_000_000)):
        with pytest.raises(GrammarError):
            digit.repeat(*wrong)
    assert digit.repeat(0, 9999).repeat(0, 9999).matches("1" * 30)


def test_choice_takes_any_text():
    odd = ['"', "\\", "\n", "é😀", "a]-^", "\0", ""]
    grammar = Grammar.choice(odd)
    assert all(grammar.matches(text) for text in odd)
    assert Grammar.gbnf(grammar.text).matches("a]-^")
    with pytest.raises(GrammarError, match="surrogate"):
        Grammar.choice(["\ud800"])
    with pytest.raises(GrammarError, match="at least one"):
        Grammar.choice([])
    many = Grammar.choice(f"text number {i}" for i in range(10_000))
    assert many.matches("text number 9999")


def test_a_waiting_grammar_is_complete():
    waiting = Grammar.choice(["a"]).when(["<"])
    assert waiting.waits
    with pytest.raises(GrammarError, match="Call when"):
        waiting + "b"
    with pytest.raises(GrammarError, match="wait for"):
        Grammar.choice(["a"]).when()
    with pytest.raises(GrammarError, match="at once"):
        Grammar.choice(["a"]).when([""])
    with pytest.raises(GrammarError, match="at once"):
        Grammar.choice(["a"]).when(patterns=[Grammar.regex("a*")])


def test_words_are_short_in_a_repr():
    assert repr(Grammar.choice(["yes", "no"])) == '<Grammar root ::= "yes" | "no">'
    assert len(repr(Grammar.json())) < 100
