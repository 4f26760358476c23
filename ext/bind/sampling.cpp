#include "arrays.hpp"
#include "bind.hpp"
#include "error.hpp"
#include "model.hpp"
#include "sampling.hpp"

#include <memory>

using namespace nb::literals;

namespace mullama::bind {

namespace {

// Sampling options over logits from anywhere; keeps the model alive whose tokens they are.
struct OfflineSampler {
    std::shared_ptr<Model> model;
    Sampler sampler;

    const float * checked(const Floats & logits) const {
        if (logits.size() != static_cast<size_t>(sampler.n_vocab())) {
            throw Error(Errc::invalid_option, "there are " + std::to_string(logits.size()) + " logits for a vocabulary of " +
                                                  std::to_string(sampler.n_vocab()), "logits");
        }
        return logits.data();
    }
};

nb::tuple apply(const OfflineSampler & self, const Floats & logits) {
    const std::vector<llama_token_data> candidates = self.sampler.apply(self.checked(logits));
    std::vector<llama_token> ids;
    std::vector<float> probabilities;
    for (const llama_token_data & candidate : candidates) {
        ids.push_back(candidate.id);
        probabilities.push_back(candidate.p);
    }
    return nb::make_tuple(array_of(std::move(ids)), array_of(std::move(probabilities)));
}

void accept(OfflineSampler & self, llama_token token) {
    if (token < 0 || token >= self.sampler.n_vocab()) {
        throw Error(Errc::invalid_option, "token " + std::to_string(token) + " is not in the vocabulary", "token");
    }
    self.sampler.accept(token);
}

} // namespace

void bind_sampling(nb::module_ & module) {
    nb::class_<OfflineSampler>(module, "Sampler")
        .def(
            "__init__",
            [](OfflineSampler * self, const SamplingParams & params, int32_t n_vocab, std::shared_ptr<Model> model) {
                Sampler sampler(params, model ? model->n_vocab() : n_vocab, model.get());
                new (self) OfflineSampler{std::move(model), std::move(sampler)};
            },
            "params"_a, "n_vocab"_a, "model"_a.none())
        .def("apply", &apply, "logits"_a.noconvert(), "(token ids, their probabilities)")
        .def(
            "sample",
            [](OfflineSampler & self, const Floats & logits) { return self.sampler.sample(self.checked(logits)); },
            "logits"_a.noconvert())
        .def("accept", &accept, "token"_a)
        .def_prop_ro("n_vocab", [](const OfflineSampler & self) { return self.sampler.n_vocab(); })
        .def_prop_ro("seed", [](const OfflineSampler & self) { return self.sampler.seed(); });
}

} // namespace mullama::bind
