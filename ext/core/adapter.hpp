// What changes a model's answers without changing the model: LoRA adapters and control vectors.
#pragma once

#include "model.hpp"
#include "shared.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace mullama {

// Low-rank additions to a model's matrices: W becomes W + scale * alpha / rank * B A. Immutable, so
// thread-safe; holds its model.
class LoraAdapter : public Shared<LoraAdapter> {
  public:
    // Blocks. Throws Error(model_load) for a file that is broken or made for another model.
    static std::shared_ptr<const LoraAdapter> load(std::shared_ptr<const Model> model, const std::string & path);
    ~LoraAdapter();
    LoraAdapter(const LoraAdapter &) = delete;
    LoraAdapter & operator=(const LoraAdapter &) = delete;

    const std::string & path() const { return path_; }
    const std::shared_ptr<const Model> & model() const { return model_; }
    std::map<std::string, std::string> metadata() const; // scalar fields, as text
    float alpha() const { return alpha_; }                // 0: the scale is used as it is
    int32_t n_tensors() const { return n_tensors_; }      // matrices it changes
    uint64_t size_bytes() const { return size_bytes_; }
    // An activated LoRA acts only after these tokens in the prompt; empty: always.
    std::vector<llama_token> invocation_tokens() const;

    llama_adapter_lora * get() const { return adapter_; }

  private:
    LoraAdapter() = default;

    std::shared_ptr<const Model> model_; // outlives the adapter
    std::string path_;
    llama_adapter_lora * adapter_ = nullptr;
    float alpha_ = 0.0F;
    int32_t n_tensors_ = 0;
    uint64_t size_bytes_ = 0;
};

// A direction for each layer, added to what the layer gives the next one. Immutable.
class ControlVector : public Shared<ControlVector> {
  public:
    // values: n_layers rows of n_embd floats, the first for layer 1 (layer 0 cannot be steered).
    // Throws Error(invalid_option) when the sizes do not fit or a value is not finite.
    ControlVector(std::vector<float> values, int32_t n_embd);

    // The rows of a GGUF file (tensors direction.N), by layer. Throws Error(model_load).
    static ControlVector load(const std::string & path);

    const std::vector<float> & values() const { return values_; }
    int32_t n_embd() const { return n_embd_; }
    int32_t n_layers() const { return static_cast<int32_t>(values_.size()) / n_embd_; }
    size_t hash() const { return hash_; }
    bool operator==(const ControlVector & other) const { return n_embd_ == other.n_embd_ && values_ == other.values_; }

  private:
    std::vector<float> values_;
    int32_t n_embd_;
    size_t hash_ = 0;
};

// The adapters of one request. Requests with equal sets can share a batch.
class AdapterSet : public Shared<AdapterSet> {
  public:
    AdapterSet() = default;
    // The scales of one adapter given twice add up; scale 0 drops out. control may be null.
    AdapterSet(const std::vector<std::pair<std::shared_ptr<const LoraAdapter>, float>> & loras,
               std::shared_ptr<const ControlVector> control);

    bool empty() const { return loras_.empty() && !control_; }
    size_t hash() const;
    bool operator==(const AdapterSet & other) const;

    // Throws Error(invalid_option) when a part belongs to another model or does not fit it.
    void check(const Model & model) const;

    const std::vector<std::pair<std::shared_ptr<const LoraAdapter>, float>> & loras() const { return loras_; }
    const std::shared_ptr<const ControlVector> & control() const { return control_; }

  private:
    std::vector<std::pair<std::shared_ptr<const LoraAdapter>, float>> loras_; // ordered, no scale 0
    std::shared_ptr<const ControlVector> control_;
};

// llama.cpp keeps a list of a model's adapters in the model, without a lock, and reads it wherever it
// plans a context's graph: when the context is made, and in its first batch after apply(). Hold this
// meanwhile; an adapter that is being loaded holds it too.
std::unique_lock<std::mutex> lock_adapter_lists();

// Makes the context use exactly this set from its next batch on. Keep the set for as long: the
// context only points to it. Not cheap (the next batch plans its graph anew): call it when the set
// changes. Throws Error(invalid_option | decode).
void apply(llama_context * context, const Model & model, const AdapterSet & set);

} // namespace mullama

template <> struct std::hash<mullama::AdapterSet> {
    size_t operator()(const mullama::AdapterSet & set) const noexcept { return set.hash(); }
};
