#include "arrays.hpp"
#include "bell.hpp"
#include "bind.hpp"
#include "embedding.hpp"
#include "grammar.hpp"
#include "stream.hpp"

using namespace nb::literals;

namespace mullama::bind {

nb::object python_error_of(const Error & error);

namespace {

const char * name_of(Finish finish) {
    switch (finish) {
        case Finish::stop: return "stop";
        case Finish::length: return "length";
        case Finish::deadline: return "deadline";
        case Finish::cancelled: return "cancelled";
        case Finish::error: return "error";
    }
    return "error";
}

// (token, text, logprob or None, [(token, logprob), ...])
nb::tuple tuple_of(const TokenEvent & event) {
    if (!event.logprobs) {
        return nb::make_tuple(event.token, event.text, nb::none(), nb::make_tuple());
    }
    nb::list top;
    for (const auto & [token, logprob] : event.logprobs->top) {
        top.append(nb::make_tuple(token, logprob));
    }
    return nb::make_tuple(event.token, event.text, event.logprobs->chosen, nb::tuple(top));
}

nb::list list_of(const std::vector<TokenEvent> & events) {
    nb::list out;
    for (const TokenEvent & event : events) {
        out.append(tuple_of(event));
    }
    return out;
}

nb::object question_of(Stream & stream) {
    std::optional<LogitsQuestion> question = stream.take_question();
    if (!question) {
        return nb::none();
    }
    return nb::make_tuple(array_of(std::move(question->tokens)), array_of(std::move(question->logits)));
}

void answer(Stream & stream, const Floats & logits) {
    stream.answer(std::vector<float>(logits.data(), logits.data() + logits.size()));
}

} // namespace

void bind_stream(nb::module_ & module) {
    nb::class_<Timings>(module, "Timings", "Milliseconds; -1 where the request never got so far.")
        .def_ro("queue_ms", &Timings::queue_ms)
        .def_ro("encode_ms", &Timings::encode_ms)
        .def_ro("prefill_ms", &Timings::prefill_ms)
        .def_ro("first_token_ms", &Timings::first_token_ms)
        .def_ro("decode_ms", &Timings::decode_ms)
        .def_ro("prompt_tokens", &Timings::prompt_tokens)
        .def_ro("reused_tokens", &Timings::reused_tokens)
        .def_ro("generated_tokens", &Timings::generated_tokens)
        .def_ro("drafted_tokens", &Timings::drafted_tokens)
        .def_ro("accepted_tokens", &Timings::accepted_tokens);

    nb::class_<Terminal>(module, "Terminal")
        .def_prop_ro("finish", [](const Terminal & self) { return name_of(self.finish); },
                     "stop, length, deadline, cancelled or error")
        .def_ro("text", &Terminal::text)
        .def_ro("stop_string", &Terminal::stop_string)
        .def_ro("timings", &Terminal::timings)
        .def_prop_ro("embedding", [](const Terminal & self) { return std::const_pointer_cast<Embedding>(self.embedding); })
        .def_prop_ro("error", [](const Terminal & self) {
            return self.error ? python_error_of(*self.error) : nb::object(nb::none());
        });

    nb::class_<Bell>(module, "Bell")
        .def(nb::new_([] { return std::make_shared<Bell>(); }))
        .def_prop_ro("fd", &Bell::fd)
        .def("take", &Bell::take);

    nb::class_<Stream>(module, "Stream")
        .def_prop_ro("id", &Stream::id)
        .def("subscribe", &Stream::subscribe, "bell"_a)
        .def("cancel", &Stream::cancel)
        .def(
            "set_grammar",
            [](Stream & self, std::shared_ptr<Grammar> grammar) { self.set_grammar(std::move(grammar)); },
            "grammar"_a.none())
        .def(
            "wait", [](const Stream & self, int ms) { return self.wait(std::chrono::milliseconds(ms)); },
            "timeout_ms"_a, nb::call_guard<nb::gil_scoped_release>())
        .def(
            "take",
            [](Stream & self) {
                nb::list events = list_of(self.take());
                return nb::make_tuple(events, self.ended());
            },
            "(events, whether that was all)")
        .def("prompt", [](const Stream & self) { return list_of(self.prompt()); })
        .def("take_question", &question_of, "(token ids, logits) to change, or None")
        .def("answer", &answer, "logits"_a.noconvert())
        .def("terminal", &Stream::terminal);
}

} // namespace mullama::bind
