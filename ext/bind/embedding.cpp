#include "arrays.hpp"
#include "bind.hpp"
#include "embedding.hpp"
#include "prompt.hpp"

using namespace nb::literals;

namespace mullama::bind {

void bind_embedding(nb::module_ & module) {
    nb::class_<Embedding>(module, "Embedding")
        .def_ro("rows", &Embedding::rows)
        .def_ro("width", &Embedding::width)
        .def_prop_ro("values", [](const Embedding & self) { return array_of(self.values); }, "rows * width, row-major")
        .def_prop_ro("tokens", [](const Embedding & self) { return array_of(self.tokens); });

    module.def(
        "prompt_of_pair",
        [](const std::shared_ptr<Model> & model, const std::string & query, const std::string & document, int32_t limit) {
            const nb::gil_scoped_release release;
            return std::const_pointer_cast<Prompt>(prompt_of_pair(*model, query, document, limit));
        },
        "model"_a, "query"_a, "document"_a, "limit"_a);
}

} // namespace mullama::bind
