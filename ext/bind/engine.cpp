#include "bind.hpp"
#include "engine.hpp"
#include "fit.hpp"
#include "session.hpp"

using namespace nb::literals;

namespace mullama::bind {

namespace {

// Closing joins the engine's thread, which can take an encoder pass: let other Python threads run.
void close_without_gil(Engine & engine) {
    const nb::gil_scoped_release release;
    engine.close();
}

using Streams = std::vector<std::shared_ptr<Stream>>;

// Engine::embed or Engine::score, which take the prompts of a whole batch.
template <auto method, class Params>
Streams states_of(Engine & engine, const std::vector<std::shared_ptr<Prompt>> & prompts, const Params & params,
                  std::shared_ptr<AdapterSet> adapters) {
    const nb::gil_scoped_release release;
    return (engine.*method)({prompts.begin(), prompts.end()}, params, std::move(adapters));
}

template <class T> nb::list field_names() {
    nb::list names;
    T value;
    Fields<T>::visit(value, [&](const char * name, auto &) { names.append(name); });
    return names;
}

} // namespace

void bind_engine(nb::module_ & module) {
    nb::class_<EncoderCounters>(module, "EncoderCounters")
        .def_ro("encoded", &EncoderCounters::encoded)
        .def_ro("reused", &EncoderCounters::reused)
        .def_ro("passes", &EncoderCounters::passes)
        .def_ro("cached_bytes", &EncoderCounters::cached_bytes)
        .def_ro("ms", &EncoderCounters::ms);

    nb::class_<EngineCounters>(module, "EngineCounters")
        .def_ro("requests", &EngineCounters::requests)
        .def_ro("prompt_tokens", &EngineCounters::prompt_tokens)
        .def_ro("reused_tokens", &EngineCounters::reused_tokens)
        .def_ro("generated_tokens", &EngineCounters::generated_tokens)
        .def_ro("drafted_tokens", &EngineCounters::drafted_tokens)
        .def_ro("accepted_tokens", &EngineCounters::accepted_tokens)
        .def_ro("steps", &EngineCounters::steps)
        .def_ro("shifts", &EngineCounters::shifts)
        .def_ro("prefill_rows", &EngineCounters::prefill_rows)
        .def_ro("decode_rows", &EngineCounters::decode_rows)
        .def_ro("prefill_us", &EngineCounters::prefill_us)
        .def_ro("decode_us", &EngineCounters::decode_us)
        .def_ro("sampling_us", &EngineCounters::sampling_us)
        .def_ro("media", &EngineCounters::media)
        .def_ro("active", &EngineCounters::active)
        .def_ro("queued", &EngineCounters::queued);

    nb::class_<Engine> bound(module, "Engine");
    bound
        .def(
            "__init__",
            [](Engine * self, std::shared_ptr<Model> model, std::shared_ptr<Media> media, const EngineParams & params,
               std::shared_ptr<Model> draft) {
                const nb::gil_scoped_release release;
                new (self) Engine(std::move(model), std::move(media), params, std::move(draft));
            },
            "model"_a, "media"_a.none(), "params"_a, "draft"_a.none())
        .def(
            "submit",
            [](Engine & self, std::shared_ptr<Prompt> prompt, const SamplingParams & sampling, const Limits & limits,
               bool asks_for_logits, std::shared_ptr<Grammar> grammar, std::shared_ptr<AdapterSet> adapters,
               uint64_t session) {
                const nb::gil_scoped_release release;
                return self.submit(std::move(prompt), sampling, limits, asks_for_logits, std::move(grammar), std::move(adapters),
                                   session);
            },
            "prompt"_a, "sampling"_a, "limits"_a, "asks_for_logits"_a = false, "grammar"_a.none() = nb::none(),
            "adapters"_a.none() = nb::none(), "session"_a = 0)
        .def("embed", &states_of<&Engine::embed, EmbeddingParams>, "prompts"_a, "params"_a, "adapters"_a.none() = nb::none())
        .def("score", &states_of<&Engine::score, ScoreParams>, "prompts"_a, "params"_a, "adapters"_a.none() = nb::none())
        .def_prop_ro("pooling", &Engine::pooling)
        .def_prop_ro("max_embedding_tokens", &Engine::max_embedding_tokens)
        .def("close", &close_without_gil)
        .def_prop_ro("n_ctx", &Engine::n_ctx)
        .def_prop_ro("counters", &Engine::counters);
    bind_session(module, bound);

    module.def(
        "fit_to_memory",
        [](const std::string & path, const ModelParams & model, const EngineParams & engine, uint64_t margin, int32_t min_ctx) {
            Fit fit;
            {
                const nb::gil_scoped_release release;
                fit = fit_to_memory(path, model, engine, margin, min_ctx);
            }
            return nb::make_tuple(fit.model.gpu_layers, fit.model.tensor_split, fit.model.override_tensors, fit.engine.n_ctx);
        },
        "path"_a, "model"_a, "engine"_a, "margin"_a, "min_ctx"_a, "(gpu_layers, tensor_split, override_tensors, n_ctx)");

    // For the test that keeps dataclass, caster and core in step.
    nb::dict fields;
    fields[Fields<SamplingParams>::name] = field_names<SamplingParams>();
    fields[Fields<Limits>::name] = field_names<Limits>();
    fields[Fields<ModelParams>::name] = field_names<ModelParams>();
    fields[Fields<MediaParams>::name] = field_names<MediaParams>();
    fields[Fields<ScoreParams>::name] = field_names<ScoreParams>();
    fields[Fields<EmbeddingParams>::name] = field_names<EmbeddingParams>();
    fields[Fields<EngineParams>::name] = field_names<EngineParams>();
    fields[Fields<QuantizeParams>::name] = field_names<QuantizeParams>();
    module.attr("OPTION_FIELDS") = fields;
}

} // namespace mullama::bind
