#include "bind.hpp"
#include "grammar.hpp"

using namespace nb::literals;

namespace mullama::bind {

namespace {

using Parts = std::vector<std::shared_ptr<Grammar>>;

// nanobind holds what is not const; a Grammar has no method that changes it.
std::shared_ptr<Grammar> held(const GrammarPtr & grammar) { return std::const_pointer_cast<Grammar>(grammar); }

std::vector<GrammarPtr> pointers(const Parts & parts) { return {parts.begin(), parts.end()}; }

std::string text_of(const nb::bytes & bytes) { return {bytes.c_str(), bytes.size()}; }

std::shared_ptr<Grammar> when(const Grammar & self, const std::vector<std::string> & words,
                              const std::vector<llama_token> & tokens, const Parts & patterns, bool after) {
    Waiting waiting;
    waiting.after = after;
    for (const std::string & word : words) {
        waiting.triggers.push_back({Trigger::Kind::word, word, -1, nullptr, nullptr, false});
    }
    for (const llama_token token : tokens) {
        waiting.triggers.push_back({Trigger::Kind::token, "", token, nullptr, nullptr, false});
    }
    for (const auto & pattern : patterns) {
        waiting.triggers.push_back({Trigger::Kind::pattern, "", -1, pattern, nullptr, false});
    }
    return held(self.when(std::move(waiting)));
}

} // namespace

void bind_grammar(nb::module_ & module) {
    nb::class_<Grammar>(module, "Grammar", "Immutable; thread-safe. Texts are UTF-8 bytes.")
        .def_static(
            "gbnf",
            [](const nb::bytes & text, const std::string & root) {
                const std::string native = text_of(text);
                const nb::gil_scoped_release release;
                return held(Grammar::gbnf(native, root));
            },
            "text"_a, "root"_a)
        .def_static(
            "json_schema",
            [](const std::string & schema, bool compact) {
                const nb::gil_scoped_release release;
                return held(Grammar::json_schema(schema, compact));
            },
            "schema"_a, "compact"_a)
        .def_static(
            "choice", [](const std::vector<std::string> & texts) { return held(Grammar::choice(texts)); }, "texts"_a)
        .def_static(
            "sequence", [](const Parts & parts) { return held(Grammar::sequence(pointers(parts))); }, "parts"_a)
        .def_static(
            "any_of", [](const Parts & parts) { return held(Grammar::any_of(pointers(parts))); }, "parts"_a)
        .def_static(
            "repeat",
            [](const std::shared_ptr<Grammar> & item, int32_t min, int32_t max, const std::shared_ptr<Grammar> & separator) {
                return held(Grammar::repeat(item, min, max, separator));
            },
            "item"_a, "min"_a, "max"_a, "separator"_a.none())
        .def("when", &when, nb::kw_only(), "words"_a, "tokens"_a, "patterns"_a, "after"_a)
        .def_prop_ro("text", &Grammar::text)
        .def_prop_ro("root", &Grammar::root)
        .def_prop_ro("waits", [](const Grammar & self) { return self.waiting().has_value(); })
        .def(
            "matches",
            [](const Grammar & self, const nb::bytes & text) {
                const std::string native = text_of(text);
                const nb::gil_scoped_release release;
                return self.matches(native);
            },
            "text"_a)
        .def(
            "begins",
            [](const Grammar & self, const nb::bytes & text) {
                const std::string native = text_of(text);
                const nb::gil_scoped_release release;
                return self.begins(native);
            },
            "text"_a);
}

} // namespace mullama::bind
