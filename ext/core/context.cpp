#include "context.hpp"

#include "adapter.hpp"
#include "guard.hpp"
#include "log.hpp"

namespace mullama {

llama_context_params stoppable_params(const Model & model, const EngineParams & params,
                                      const std::atomic<bool> & closing) {
    llama_context_params raw = context_params(params, model.n_ctx_train());
    raw.abort_callback = [](void * flag) { return static_cast<const std::atomic<bool> *>(flag)->load(); };
    raw.abort_callback_data = const_cast<std::atomic<bool> *>(&closing); // only read
    return raw;
}

llama_context_ptr make_context(const Model & model, const EngineParams & params, const std::atomic<bool> & closing) {
    const LogScope log;
    const auto lock = lock_adapter_lists();
    llama_context_ptr context(guarded(Errc::model_load, model.path(), [&] {
        return llama_init_from_model(model.get(), stoppable_params(model, params, closing));
    }));
    if (!context) {
        throw Error(Errc::model_load, "llama.cpp cannot make a context for it: " + log.reason(), model.path(),
                    "If memory is short, ask for a smaller n_ctx or n_parallel");
    }
    return context;
}

} // namespace mullama
