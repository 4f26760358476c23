// A language model in memory: vocabulary, metadata, tokenisation. Immutable after loading, so every
// member is thread-safe.
#pragma once

#include "chat.hpp"
#include "error.hpp"
#include "shared.hpp"

#include "token_table.hpp"

#include "llama-cpp.h"

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace mullama {

struct ModelParams {
    int32_t gpu_layers = -1;        // layers on the GPU; negative: all
    std::string split_mode = "layer"; // none | layer | row | tensor
    int32_t main_gpu = 0;
    std::vector<std::string> devices;     // names; empty: all; "none": the CPU alone
    std::vector<double> tensor_split;     // share of each device; empty: by free memory
    std::vector<std::string> override_tensors;   // "regex=buffer type"
    std::vector<std::string> metadata_overrides; // "key=type:value"
    bool mmap = true;
    bool mlock = false;
    bool check_tensors = false;
    bool vocab_only = false;
    bool direct_io = false;
    bool repack = true;
    bool no_host = false;
    bool mtp = false; // the layers that predict further tokens
    std::string numa = "none"; // none | distribute | isolate | numactl | mirror
};

// Watched and cancelled from another thread while a model loads.
struct LoadProgress {
    std::atomic<float> fraction{0.0F};
    std::atomic<bool> cancelled{false};
};

class Model : public Shared<Model> {
  public:
    // Blocks for as long as the disk takes. Throws Error(model_load).
    static std::shared_ptr<const Model> load(const std::string & path, const ModelParams & params,
                                             LoadProgress * progress);

    const std::string & path() const { return path_; }
    bool vocab_only() const { return vocab_only_; }
    bool has_mtp() const { return mtp_; } // they were loaded, if the file has any
    const std::vector<std::string> & metadata_overrides() const { return metadata_overrides_; }
    std::string description() const;
    std::map<std::string, std::string> metadata() const;
    uint64_t size_bytes() const { return llama_model_size(model_.get()); }
    uint64_t n_params() const { return llama_model_n_params(model_.get()); }
    int32_t n_ctx_train() const { return llama_model_n_ctx_train(model_.get()); }
    int32_t n_embd_inp() const { return llama_model_n_embd_inp(model_.get()); }
    int32_t n_embd_out() const { return llama_model_n_embd_out(model_.get()); } // width of an embedding
    int32_t n_cls_out() const { return static_cast<int32_t>(llama_model_n_cls_out(model_.get())); }
    // Of a classification head's outputs; fewer than n_cls_out() where the file names none.
    std::vector<std::string> labels() const;
    int32_t n_layer() const { return llama_model_n_layer(model_.get()); }
    int32_t n_swa() const { return llama_model_n_swa(model_.get()); } // sliding window, rows; 0: none
    // Whether layers carry a state that cannot be taken back to an earlier row.
    bool recurrent() const { return llama_model_is_recurrent(model_.get()) || llama_model_is_hybrid(model_.get()); }
    int32_t n_vocab() const { return llama_vocab_n_tokens(vocab()); }

    std::vector<llama_token> tokenize(std::string_view text, bool add_special, bool parse_special) const;
    std::string detokenize(const std::vector<llama_token> & tokens, bool special) const;
    std::string piece(llama_token token, bool special) const; // raw bytes; may end inside a character
    bool is_eog(llama_token token) const { return llama_vocab_is_eog(vocab(), token); }
    const TokenTable & token_table() const; // made at the first call

    const ChatTemplate & chat_template() const { return *chat_; } // throws if the model has none

    llama_model * get() const { return model_.get(); }
    const llama_vocab * vocab() const { return llama_model_get_vocab(model_.get()); }

  private:
    Model() = default;

    std::string path_;
    bool vocab_only_ = false;
    bool mtp_ = false;
    std::vector<std::string> metadata_overrides_;
    llama_model_ptr model_;
    std::unique_ptr<ChatTemplate> chat_;
    mutable std::once_flag table_once_;
    mutable std::unique_ptr<TokenTable> table_;
};

} // namespace mullama
