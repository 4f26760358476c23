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

// A list of str and Medium.
std::vector<PromptPart> parts_of(const nb::list & parts, bool parse_special) {
    std::vector<PromptPart> out;
    for (const nb::handle part : parts) {
        if (nb::isinstance<nb::str>(part)) {
            out.push_back({nb::cast<std::string>(part), parse_special, nullptr});
        } else {
            out.push_back({"", false, nb::cast<std::shared_ptr<Medium>>(part)});
        }
    }
    return out;
}

} // namespace

void bind_prompt(nb::module_ & module) {
    nb::class_<Medium>(module, "Medium", "A picture or recording, copied into native memory.")
        .def_static("image", &image_of, "pixels"_a.noconvert(), "pixels: uint8 (height, width, 3), RGB")
        .def_static("audio", &audio_of, "samples"_a.noconvert(), "samples: float32 (n,), mono, at the model's rate");

    nb::class_<Prompt>(module, "Prompt", "Tokenised and preprocessed; may be submitted any number of times.")
        .def_prop_ro("n_tokens", [](const Prompt & self) { return self.n_tokens; })
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
           const std::vector<std::pair<std::string, nb::list>> & messages, bool add_generation_prompt,
           bool enable_thinking, std::map<std::string, std::string> kwargs) {
            std::vector<PromptMessage> native;
            for (const auto & [role, parts] : messages) {
                native.push_back({role, parts_of(parts, true)});
            }
            const ChatOptions options{add_generation_prompt, enable_thinking, std::move(kwargs)};
            const nb::gil_scoped_release release;
            return std::const_pointer_cast<Prompt>(prompt_of_messages(*model, media.get(), native, options));
        },
        "model"_a, "media"_a.none(), "messages"_a, nb::kw_only(), "add_generation_prompt"_a, "enable_thinking"_a,
        "kwargs"_a);
}

} // namespace mullama::bind
