#include "adapter.hpp"
#include "bind.hpp"
#include "probe.hpp"

#include <nanobind/ndarray.h>

using namespace nb::literals;

namespace mullama::bind {

namespace {

using Rows = nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Array = nb::ndarray<nb::numpy, float>;

// Hands the numbers over to numpy without copying. Needs the GIL.
Array array_of(std::vector<float> && values, std::initializer_list<size_t> shape) {
    auto * owned = new std::vector<float>(std::move(values));
    nb::capsule owner(owned, [](void * raw) noexcept { delete static_cast<std::vector<float> *>(raw); });
    return Array(owned->data(), shape, owner);
}

std::shared_ptr<ControlVector> control_of(const Rows & rows) {
    return std::make_shared<ControlVector>(std::vector<float>(rows.data(), rows.data() + rows.size()),
                                           static_cast<int32_t>(rows.shape(1)));
}

std::shared_ptr<AdapterSet> set_of(const std::vector<std::pair<std::shared_ptr<LoraAdapter>, float>> & loras,
                                   std::shared_ptr<ControlVector> control) {
    const std::vector<std::pair<std::shared_ptr<const LoraAdapter>, float>> parts(loras.begin(), loras.end());
    return std::make_shared<AdapterSet>(parts, std::move(control));
}

nb::tuple result_of(const Model & model, ProbeResult && result, bool hidden) {
    const auto rows = static_cast<size_t>(result.n_tokens);
    const auto layers = static_cast<size_t>(model.n_layer());
    const auto n_vocab = static_cast<size_t>(model.n_vocab());
    const size_t width = result.hidden.size() / (layers * rows);
    nb::object states = nb::none();
    if (hidden) {
        states = nb::cast(array_of(std::move(result.hidden), {layers, rows, width}));
    }
    return nb::make_tuple(array_of(std::move(result.logits), {rows, n_vocab}), states);
}

} // namespace

void bind_adapter(nb::module_ & module) {
    nb::class_<LoraAdapter>(module, "LoraAdapter")
        .def_static(
            "load",
            [](std::shared_ptr<Model> model, const std::string & path) {
                const nb::gil_scoped_release release;
                return std::const_pointer_cast<LoraAdapter>(LoraAdapter::load(std::move(model), path));
            },
            "model"_a, "path"_a)
        .def_prop_ro("path", &LoraAdapter::path)
        .def_prop_ro("metadata", &LoraAdapter::metadata)
        .def_prop_ro("alpha", &LoraAdapter::alpha)
        .def_prop_ro("n_tensors", &LoraAdapter::n_tensors)
        .def_prop_ro("size_bytes", &LoraAdapter::size_bytes)
        .def_prop_ro("invocation_tokens", &LoraAdapter::invocation_tokens);

    nb::class_<ControlVector>(module, "ControlVector")
        .def_static("of", &control_of, "rows"_a.noconvert(), "rows: float32 (layers, n_embd), the first for layer 1")
        .def_static("load", [](const std::string & path) { return std::make_shared<ControlVector>(ControlVector::load(path)); },
                    "path"_a)
        .def("values", [](const ControlVector & self) {
            return array_of(std::vector<float>(self.values()),
                            {static_cast<size_t>(self.n_layers()), static_cast<size_t>(self.n_embd())});
        });

    nb::class_<AdapterSet>(module, "AdapterSet", "What one request uses; requests with equal sets share a batch.")
        .def_static("of", &set_of, "loras"_a, "control"_a.none())
        .def_prop_ro("empty", &AdapterSet::empty)
        .def("check", &AdapterSet::check, "model"_a)
        .def("__eq__", [](const AdapterSet & self, const AdapterSet & other) { return self == other; })
        .def("__hash__", &AdapterSet::hash);

    nb::class_<Probe>(module, "Probe", "Runs tokens on a private context to look inside. One thread at a time.")
        .def(
            "__init__",
            [](Probe * self, std::shared_ptr<Model> model, int32_t max_tokens, int32_t threads) {
                const nb::gil_scoped_release release;
                new (self) Probe(std::move(model), max_tokens, threads);
            },
            "model"_a, "max_tokens"_a, "threads"_a)
        .def(
            "run",
            [](Probe & self, const std::vector<llama_token> & tokens, const AdapterSet & adapters, bool hidden) {
                ProbeResult result;
                {
                    const nb::gil_scoped_release release;
                    result = self.run(tokens, adapters, hidden);
                }
                return result_of(*self.model(), std::move(result), hidden);
            },
            "tokens"_a, "adapters"_a, "hidden"_a,
            "(logits (tokens, n_vocab), hidden states (layers, tokens, n_embd) or None), float32");
}

} // namespace mullama::bind
