#include "probe.hpp"

#include "backend.hpp"
#include "guard.hpp"
#include "log.hpp"

#include <charconv>
#include <cstring>
#include <string_view>

namespace mullama {

namespace {

// The L of a tensor named "l_out-L": what layer L gives the next one. Else -1.
int32_t layer_output(const char * name) {
    constexpr std::string_view prefix = "l_out-";
    const std::string_view text(name);
    int32_t layer = -1;
    if (text.starts_with(prefix)) {
        std::from_chars(text.data() + prefix.size(), text.data() + text.size(), layer);
    }
    return layer;
}

// Points the callback at a result for as long as it lives.
struct Watch {
    Watch(ProbeResult *& into, ProbeResult * result) : into_(into) { into_ = result; }
    ~Watch() { into_ = nullptr; }
    Watch(const Watch &) = delete;
    Watch & operator=(const Watch &) = delete;
    ProbeResult *& into_;
};

} // namespace

Probe::Probe(std::shared_ptr<const Model> model, int32_t max_tokens, int32_t threads)
    : model_(std::move(model)), max_tokens_(max_tokens) {
    if (model_->vocab_only() || !llama_model_has_decoder(model_->get())) {
        throw Error(Errc::model_capability, "it has no decoder to look into", model_->path());
    }
    llama_context_params raw = llama_context_default_params();
    raw.n_ctx = raw.n_batch = raw.n_ubatch = static_cast<uint32_t>(max_tokens);
    raw.n_seq_max = 1;
    raw.n_outputs_max_per_seq = 0; // as many as there are tokens
    raw.n_threads = raw.n_threads_batch = threads > 0 ? threads : default_threads();
    raw.no_perf = true;
    raw.cb_eval = [](ggml_tensor * tensor, bool ask, void * self) {
        return static_cast<Probe *>(self)->observe(tensor, ask);
    };
    raw.cb_eval_user_data = this;
    const LogScope log;
    const auto lock = lock_adapter_lists();
    context_.reset(
        guarded(Errc::model_load, model_->path(), [&] { return llama_init_from_model(model_->get(), raw); }));
    if (!context_) {
        throw Error(Errc::model_load, "llama.cpp cannot make a context for it: " + log.reason(), model_->path());
    }
}

// Asked first whether a tensor is of interest, then shown it. Returning false after that would stop
// the evaluation.
bool Probe::observe(ggml_tensor * tensor, bool ask) {
    const int32_t layer = into_ ? layer_output(tensor->name) : -1;
    const bool wanted = layer >= 0 && layer < model_->n_layer() && tensor->type == GGML_TYPE_F32 &&
                        tensor->ne[1] == into_->n_tokens && ggml_is_contiguous(tensor);
    if (ask || !wanted) {
        return ask ? wanted : true;
    }
    const size_t size = ggml_nbytes(tensor) / sizeof(float);
    const size_t at = static_cast<size_t>(layer) * size;
    if (at + size <= into_->hidden.size()) {
        ggml_backend_tensor_get(tensor, into_->hidden.data() + at, 0, ggml_nbytes(tensor));
        ++layers_seen_;
    }
    return true;
}

ProbeResult Probe::run(const std::vector<llama_token> & tokens, const AdapterSet & adapters, bool hidden) {
    const auto n_tokens = static_cast<int32_t>(tokens.size());
    if (n_tokens < 1 || n_tokens > max_tokens_) {
        throw Error(Errc::context_overflow,
                    std::to_string(n_tokens) + " tokens do not fit 1 to " + std::to_string(max_tokens_), "tokens");
    }
    for (const llama_token token : tokens) {
        if (token < 0 || token >= model_->n_vocab()) {
            throw Error(Errc::invalid_option, std::to_string(token) + " is not in the vocabulary", "tokens");
        }
    }
    adapters.check(*model_);
    std::unique_lock<std::mutex> planning;
    if (!(adapters == adapters_)) {
        planning = lock_adapter_lists();
        apply(context_.get(), *model_, adapters);
        adapters_ = adapters;
    }
    ProbeResult result;
    result.n_tokens = n_tokens;
    const auto width = static_cast<size_t>(llama_model_n_embd(model_->get()));
    if (hidden) {
        result.hidden.resize(static_cast<size_t>(model_->n_layer()) * tokens.size() * width);
        layers_seen_ = 0;
    }
    llama_memory_clear(llama_get_memory(context_.get()), true);
    llama_batch_ext_ptr batch(llama_batch_ext_init(context_.get()));
    for (llama_pos position = 0; position < n_tokens; ++position) {
        const int32_t row = llama_batch_ext_add_token(batch.get(), 0, tokens[static_cast<size_t>(position)]);
        llama_batch_ext_set_pos(batch.get(), row, &position);
        llama_batch_ext_set_output_logits(batch.get(), row, true);
    }
    const int32_t status = guarded(Errc::decode, model_->path(), [&] {
        const Watch watch(into_, hidden ? &result : nullptr);
        return llama_process(context_.get(), LLAMA_PROCESS_TYPE_DECODE, batch.get());
    });
    if (status != 0) {
        throw Error(Errc::decode, "llama.cpp failed, code " + std::to_string(status), model_->path());
    }
    if (hidden && layers_seen_ < model_->n_layer()) {
        throw Error(Errc::model_capability, "the hidden states of this architecture cannot be read", model_->path());
    }
    const auto n_vocab = static_cast<size_t>(model_->n_vocab());
    result.logits.resize(tokens.size() * n_vocab);
    for (int32_t row = 0; row < n_tokens; ++row) {
        std::memcpy(&result.logits[static_cast<size_t>(row) * n_vocab], llama_get_logits_ith(context_.get(), row),
                    n_vocab * sizeof(float));
    }
    return result;
}

} // namespace mullama
