#include "bind.hpp"
#include "media.hpp"
#include "model.hpp"

using namespace nb::literals;

namespace mullama::bind {

void bind_model(nb::module_ & module) {
    nb::class_<LoadProgress>(module, "LoadProgress", "Watch or cancel a load from another thread.")
        .def(nb::init<>())
        .def_prop_ro("fraction", [](const LoadProgress & self) { return self.fraction.load(); }, "0 to 1")
        .def("cancel", [](LoadProgress & self) { self.cancelled = true; });

    nb::class_<Model>(module, "Model")
        .def_static(
            "load",
            [](const std::string & path, const ModelParams & params, LoadProgress * progress) {
                const nb::gil_scoped_release release;
                return std::const_pointer_cast<Model>(Model::load(path, params, progress));
            },
            "path"_a, "params"_a, "progress"_a.none() = nb::none())
        .def_prop_ro("path", &Model::path)
        .def_prop_ro("vocab_only", &Model::vocab_only)
        .def_prop_ro("description", &Model::description)
        .def_prop_ro("metadata", &Model::metadata)
        .def_prop_ro("size_bytes", &Model::size_bytes)
        .def_prop_ro("n_params", &Model::n_params)
        .def_prop_ro("n_ctx_train", &Model::n_ctx_train)
        .def_prop_ro("n_embd", &Model::n_embd_inp)
        .def_prop_ro("n_layer", &Model::n_layer)
        .def_prop_ro("n_vocab", &Model::n_vocab)
        .def_prop_ro("chat_template",
                     [](const Model & self) -> std::optional<std::string> {
                         return self.chat_template().available() ? std::optional(self.chat_template().source())
                                                                 : std::nullopt;
                     })
        .def("tokenize", &Model::tokenize, "text"_a, "add_special"_a, "parse_special"_a,
             nb::call_guard<nb::gil_scoped_release>())
        .def(
            "detokenize",
            [](const Model & self, const std::vector<llama_token> & tokens, bool special) {
                const std::string text = self.detokenize(tokens, special);
                return nb::bytes(text.data(), text.size());
            },
            "tokens"_a, "special"_a)
        .def(
            "piece",
            [](const Model & self, llama_token token, bool special) {
                const std::string text = self.piece(token, special);
                return nb::bytes(text.data(), text.size());
            },
            "token"_a, "special"_a)
        .def("is_eog", &Model::is_eog, "token"_a);

    nb::class_<Media>(module, "Media")
        .def_static(
            "load",
            [](std::shared_ptr<Model> model, const std::string & path, const MediaParams & params) {
                const nb::gil_scoped_release release;
                return Media::load(std::move(model), path, params);
            },
            "model"_a, "path"_a, "params"_a)
        .def_prop_ro("path", &Media::path)
        .def_prop_ro("vision", &Media::vision)
        .def_prop_ro("audio", &Media::audio)
        .def_prop_ro("sample_rate", &Media::sample_rate, "Hz; 0 without audio");
}

} // namespace mullama::bind
