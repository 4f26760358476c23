#include "speculation.hpp"

#include "adapter.hpp"

#include "guard.hpp"
#include "log.hpp"

#include "common.h"
#include "speculative.h"

namespace mullama {

namespace {

common_speculative_type type_of(const std::string & kind) {
    if (kind == "lookup") {
        return COMMON_SPECULATIVE_TYPE_NGRAM_SIMPLE;
    }
    return kind == "mtp" ? COMMON_SPECULATIVE_TYPE_DRAFT_MTP : COMMON_SPECULATIVE_TYPE_DRAFT_SIMPLE;
}

} // namespace

void Speculation::Deleter::operator()(common_speculative * speculative) const { common_speculative_free(speculative); }
Speculation::~Speculation() = default;

Speculation::Speculation(const SpeculativeParams & params, llama_context * target, const Model & model,
                         std::shared_ptr<const Model> draft, const llama_context_params & like)
    : params_(params), draft_(std::move(draft)) {
    if (model.recurrent()) {
        throw Error(Errc::model_capability, "it keeps a state that cannot be taken back after a wrong guess",
                    model.path(), "Run it without speculative decoding");
    }
    if (params.kind == "draft" && !draft_) {
        throw Error(Errc::invalid_option, "a draft model is needed", "speculative", "Give the engine one");
    }
    if (params.kind == "mtp" && !model.has_mtp()) {
        throw Error(Errc::model_capability, "its layers that predict further tokens were not loaded", model.path(),
                    "Load it with ModelParams(mtp=True)");
    }
    common_params_speculative raw;
    raw.types = {type_of(params.kind)};
    raw.ngram_simple.size_n = static_cast<uint16_t>(params.lookup_ngram);
    raw.ngram_simple.size_m = static_cast<uint16_t>(params.draft_max);
    raw.draft.n_max = params.draft_max;
    raw.draft.p_min = params.draft_p_min;
    raw.draft.backend_sampling = false;
    raw.draft.ctx_tgt = target;
    const LogScope log;
    try {
        if (params.kind != "lookup") {
            const Model & drafter = draft_ ? *draft_ : model;
            llama_context_params own = like;
            own.ctx_type = params.kind == "mtp" ? LLAMA_CONTEXT_TYPE_MTP : LLAMA_CONTEXT_TYPE_DEFAULT;
            const auto lock = lock_adapter_lists();
            context_.reset(guarded(Errc::model_load, drafter.path(),
                                   [&] { return llama_init_from_model(drafter.get(), own); }));
            if (!context_) {
                throw Error(Errc::model_capability, "llama.cpp cannot draft with it: " + log.reason(), drafter.path());
            }
            raw.draft.ctx_dft = context_.get();
        }
        speculative_.reset(common_speculative_init(raw, like.n_seq_max));
    } catch (const Error &) {
        throw;
    } catch (const std::exception & error) {
        throw Error(Errc::model_capability, error.what(), draft_ ? draft_->path() : model.path(),
                    "A draft model must have the vocabulary of the model it drafts for");
    }
    if (!speculative_) {
        throw Error(Errc::model_capability, "it has no layers that predict further tokens", model.path(),
                    "Use lookup or a draft model");
    }
}

void Speculation::begin(llama_seq_id seq, const std::vector<llama_token> & history) {
    common_speculative_begin(speculative_.get(), seq, history);
}

void Speculation::guess(std::vector<Guess> & guesses) {
    for (Guess & guess : guesses) {
        common_speculative_draft_params & ask = common_speculative_get_draft_params(speculative_.get(), guess.seq);
        ask.drafting = true;
        ask.n_max = guess.most;
        ask.pos0 = guess.position;
        ask.id_last = guess.last;
        ask.prompt = guess.history;
        ask.result = &guess.tokens;
    }
    common_speculative_draft(speculative_.get());
    for (Guess & guess : guesses) {
        if (context_) { // the target's batch will come with these rows again
            llama_memory_seq_rm(llama_get_memory(context_.get()), guess.seq, guess.position, -1);
        }
        if (guess.tokens.size() > static_cast<size_t>(guess.most)) {
            guess.tokens.resize(static_cast<size_t>(guess.most));
        }
    }
}

bool Speculation::evaluated(const common_batch & batch) {
    return common_speculative_process(speculative_.get(), batch);
}

void Speculation::accepted(llama_seq_id seq, size_t count) {
    common_speculative_accept(speculative_.get(), seq, static_cast<uint16_t>(count));
}

void Speculation::keep_until(llama_seq_id seq, llama_pos end) {
    if (context_) {
        llama_memory_seq_rm(llama_get_memory(context_.get()), seq, end, -1);
    }
}

void Speculation::copy(llama_seq_id from, llama_seq_id to) {
    if (context_) {
        llama_memory_seq_rm(llama_get_memory(context_.get()), to, -1, -1);
        llama_memory_seq_cp(llama_get_memory(context_.get()), from, to, -1, -1);
    }
}

void Speculation::shift(llama_seq_id seq, llama_pos from, llama_pos gone) {
    if (context_) {
        llama_memory_seq_rm(llama_get_memory(context_.get()), seq, from, from + gone);
        llama_memory_seq_add(llama_get_memory(context_.get()), seq, from + gone, -1, -gone);
    }
}

} // namespace mullama
