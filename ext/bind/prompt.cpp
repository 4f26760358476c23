#include "bind.hpp"
#include "prompt.hpp"

#include <nanobind/ndarray.h>

using namespace nb::literals;

namespace mullama::bind {

namespace {

using Pixels = nb::ndarray<const uint8_t, nb::shape<-1, -1, 3>, nb::c_contig, nb::device::cpu>;
using Samples = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

std::shared_ptr<Medium> image_of(const Pixels & pixels) {
    auto medium = std::make_shared<Medium>();
    medium->kind = Medium::Kind::image;
    medium->height = static_cast<uint32_t>(pixels.shape(0));
    medium->width = static_cast<uint32_t>(pixels.shape(1));
    if (medium->height == 0 || medium->width == 0) {
        throw Error(Errc::media, "a picture without pixels");
    }
    medium->pixels.assign(pixels.data(), pixels.data() + pixels.size());
    return medium;
}

std::shared_ptr<Medium> audio_of(const Samples & samples) {
    auto medium = std::make_shared<Medium>();
    medium->kind = Medium::Kind::audio;
    medium->samples.assign(samples.data(), samples.data() + samples.size());
    return medium;
}

// What a caller wrote; throws where it is no text.
std::string text_of(const nb::handle & from, const char * where) {
    std::string text;
    if (!nb::try_cast(from, text)) {
        throw Error(Errc::invalid_option,
                    nb::isinstance<nb::str>(from) ? "half of a surrogate pair is not a character" : "it is not a text", where);
    }
    return text;
}

// A list of str and Medium.
std::vector<PromptPart> parts_of(const nb::list & parts, bool parse_special) {
    std::vector<PromptPart> out;
    for (const nb::handle part : parts) {
        if (nb::isinstance<nb::str>(part)) {
            out.push_back({text_of(part, "prompt"), parse_special, nullptr});
        } else {
            out.push_back({"", false, nb::cast<std::shared_ptr<Medium>>(part)});
        }
    }
    return out;
}

template <class T> void read(const nb::handle & from, const char * name, T & to) { to = nb::cast<T>(from[nb::str(name)]); }
void read(const nb::handle & from, const char * name, std::string & to) { to = text_of(from[nb::str(name)], name); }

std::vector<ChatToolCall> calls_of(const nb::handle & calls) {
    std::vector<ChatToolCall> out;
    for (const nb::handle call : calls) {
        out.push_back({text_of(call[0], "tool_calls"), text_of(call[1], "tool_calls"), text_of(call[2], "tool_calls")});
    }
    return out;
}

// A dict: role, parts, tool_calls (id, name, arguments), reasoning, tool_name, tool_call_id.
PromptMessage message_of(const nb::handle & message) {
    PromptMessage out;
    read(message, "role", out.role);
    out.parts = parts_of(nb::cast<nb::list>(message["parts"]), true);
    out.tool_calls = calls_of(message["tool_calls"]);
    read(message, "reasoning", out.reasoning);
    read(message, "tool_name", out.tool_name);
    read(message, "tool_call_id", out.tool_call_id);
    return out;
}

ChatOptions options_of(const nb::dict & options) {
    ChatOptions out;
    read(options, "enable_thinking", out.enable_thinking);
    for (const auto [key, value] : nb::cast<nb::dict>(options["kwargs"])) {
        out.kwargs[text_of(key, "template_args")] = text_of(value, "template_args");
    }
    read(options, "tool_choice", out.tool_choice);
    read(options, "parallel_tool_calls", out.parallel_tool_calls);
    read(options, "reasoning_format", out.reasoning_format);
    read(options, "template_text", out.template_text);
    for (const nb::handle tool : options["tools"]) {
        out.tools.push_back({text_of(tool[0], "tools"), text_of(tool[1], "tools"), text_of(tool[2], "tools")});
    }
    return out;
}

// (content, reasoning, [(id, name, arguments), ...])
nb::tuple tuple_of(const ChatAnswer & answer) {
    nb::list calls;
    for (const ChatToolCall & call : answer.tool_calls) {
        calls.append(nb::make_tuple(call.id, call.name, call.arguments));
    }
    return nb::make_tuple(answer.content, answer.reasoning, calls);
}

} // namespace

void bind_prompt(nb::module_ & module) {
    nb::class_<Medium>(module, "Medium", "A picture or recording, copied into native memory.")
        .def_static("image", &image_of, "pixels"_a.noconvert(), "pixels: uint8 (height, width, 3), RGB")
        .def_static("audio", &audio_of, "samples"_a.noconvert(), "samples: float32 (n,), mono, at the model's rate");

    nb::class_<Prompt>(module, "Prompt", "Tokenised and preprocessed; may be submitted any number of times.")
        .def_prop_ro("n_tokens", [](const Prompt & self) { return self.n_tokens; })
        .def_prop_ro("of_messages", [](const Prompt & self) { return self.format != nullptr; })
        .def(
            "parse",
            [](const Prompt & self, const std::string & text, bool partial) {
                ChatAnswer answer;
                {
                    const nb::gil_scoped_release release;
                    answer = self.format ? self.format->parse(text, partial) : ChatAnswer{text, "", {}};
                }
                return tuple_of(answer);
            },
            "text"_a, "partial"_a, "(content, reasoning, [(id, name, arguments), ...])")
        .def_prop_ro("tool_grammar",
                     [](const Prompt & self) {
                         return self.format ? std::const_pointer_cast<Grammar>(self.format->grammar) : nullptr;
                     })
        .def_prop_ro("n_pos", [](const Prompt & self) { return self.n_pos; })
        .def_prop_ro("has_media", [](const Prompt & self) { return self.has_media; })
        .def_prop_ro(
            "chunks",
            [](const Prompt & self) {
                nb::list out;
                for (const PromptChunk & chunk : self.chunks) {
                    out.append(chunk.media ? nb::object(nb::make_tuple(chunk.is_audio ? "audio" : "image", chunk.n_tokens))
                                           : nb::object(nb::make_tuple("text", chunk.tokens)));
                }
                return out;
            },
            "(\"text\", token ids), (\"image\", rows) or (\"audio\", rows), in order");

    module.def(
        "prompt_of_parts",
        [](std::shared_ptr<Model> model, std::shared_ptr<Media> media, const nb::list & parts, bool add_special,
           bool parse_special) {
            const auto native = parts_of(parts, parse_special);
            const nb::gil_scoped_release release;
            return std::const_pointer_cast<Prompt>(prompt_of_parts(*model, media.get(), native, add_special));
        },
        "model"_a, "media"_a.none(), "parts"_a, "add_special"_a, "parse_special"_a);
    module.def(
        "prompt_of_messages",
        [](std::shared_ptr<Model> model, std::shared_ptr<Media> media,
           const nb::list & messages, const nb::dict & options) {
            std::vector<PromptMessage> native;
            for (const nb::handle message : messages) {
                native.push_back(message_of(message));
            }
            const ChatOptions chat = options_of(options);
            const nb::gil_scoped_release release;
            return std::const_pointer_cast<Prompt>(prompt_of_messages(*model, media.get(), native, chat));
        },
        "model"_a, "media"_a.none(), "messages"_a, "options"_a);
}

} // namespace mullama::bind
