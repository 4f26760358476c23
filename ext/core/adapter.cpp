#include "adapter.hpp"

#include "gguf_check.hpp"
#include "gguf_file.hpp"
#include "guard.hpp"
#include "log.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include <mutex>
#include <string_view>

namespace mullama {

namespace {

size_t mix(size_t seed, size_t value) { return seed ^ (value + 0x9E3779B97F4A7C15ULL + (seed << 6) + (seed >> 2)); }

size_t hash_of(const std::vector<float> & values) {
    return std::hash<std::string_view>{}(
        {reinterpret_cast<const char *>(values.data()), values.size() * sizeof(float)});
}

// The N of "direction.N", or -1.
int32_t layer_of(const std::string & name) {
    constexpr std::string_view prefix = "direction.";
    int32_t layer = -1;
    if (name.starts_with(prefix)) {
        const auto [end, error] = std::from_chars(name.data() + prefix.size(), name.data() + name.size(), layer);
        if (error != std::errc() || end != name.data() + name.size()) {
            return -1;
        }
    }
    return layer;
}

constexpr int32_t most_layers = 4096;

// So that reading the file, which holds the lock, is a copy out of memory.
void warm(const std::string & path) {
    std::ifstream in(path, std::ios::binary);
    std::vector<char> block(1 << 20);
    while (in.read(block.data(), static_cast<std::streamsize>(block.size()))) {
    }
}

} // namespace

std::unique_lock<std::mutex> lock_adapter_lists() {
    static std::mutex mutex;
    return std::unique_lock(mutex);
}

std::shared_ptr<const LoraAdapter> LoraAdapter::load(std::shared_ptr<const Model> model, const std::string & path) {
    const LoraSummary summary = check_lora_file(path, *model);
    std::shared_ptr<LoraAdapter> adapter(new LoraAdapter);
    adapter->path_ = path;
    adapter->alpha_ = summary.alpha;
    adapter->n_tensors_ = summary.n_tensors;
    adapter->size_bytes_ = summary.size_bytes;
    warm(path);
    const LogScope log;
    const auto lock = lock_adapter_lists();
    adapter->adapter_ =
        guarded(Errc::model_load, path, [&] { return llama_adapter_lora_init(model->get(), path.c_str()); });
    if (adapter->adapter_ == nullptr) {
        throw Error(Errc::model_load, "llama.cpp cannot load it: " + log.reason(), path);
    }
    adapter->model_ = std::move(model);
    return adapter;
}

LoraAdapter::~LoraAdapter() {
    if (adapter_ != nullptr) {
        const auto lock = lock_adapter_lists();
        llama_adapter_lora_free(adapter_);
    }
}

std::map<std::string, std::string> LoraAdapter::metadata() const {
    std::map<std::string, std::string> all;
    const auto read = [](auto && get) {
        std::string text(static_cast<size_t>(std::max(get(nullptr, 0), 0)) + 1, '\0');
        text.resize(static_cast<size_t>(std::max(get(text.data(), text.size()), 0)));
        return text;
    };
    for (int32_t i = 0; i < llama_adapter_meta_count(adapter_); ++i) {
        const std::string key =
            read([&](char * to, size_t room) { return llama_adapter_meta_key_by_index(adapter_, i, to, room); });
        all[key] =
            read([&](char * to, size_t room) { return llama_adapter_meta_val_str_by_index(adapter_, i, to, room); });
    }
    return all;
}

std::vector<llama_token> LoraAdapter::invocation_tokens() const {
    const auto * tokens = llama_adapter_get_alora_invocation_tokens(adapter_);
    return {tokens, tokens + llama_adapter_get_alora_n_invocation_tokens(adapter_)};
}

ControlVector::ControlVector(std::vector<float> values, int32_t n_embd)
    : values_(std::move(values)), n_embd_(n_embd) {
    if (n_embd < 1 || values_.empty() || values_.size() % static_cast<size_t>(n_embd) != 0) {
        throw Error(Errc::invalid_option, "a control vector is a row of equally many numbers for each layer",
                    "control_vector");
    }
    if (!std::all_of(values_.begin(), values_.end(), [](float x) { return std::isfinite(x); })) {
        throw Error(Errc::invalid_option, "it holds a number that is not finite", "control_vector");
    }
    // One form for one effect, so that equal vectors compare equal: no -0, no empty rows at the end.
    std::transform(values_.begin(), values_.end(), values_.begin(), [](float x) { return x + 0.0F; });
    const auto width = static_cast<size_t>(n_embd);
    while (values_.size() > width && std::all_of(values_.end() - n_embd, values_.end(), [](float x) { return x == 0.0F; })) {
        values_.resize(values_.size() - width);
    }
    hash_ = hash_of(values_);
}

ControlVector ControlVector::load(const std::string & path) {
    const GgufFile file(path);
    const std::vector<GgufTensor> tensors = file.tensors();
    if (tensors.empty()) {
        throw file.fail("it is not a control vector: it holds no tensors");
    }
    const int64_t n_embd = tensors.front().shape[0];
    int32_t layers = 0;
    for (const GgufTensor & tensor : tensors) {
        const int32_t layer = layer_of(tensor.name);
        if (layer < 1 || layer > most_layers) {
            throw file.fail("it is not a control vector: it holds " + tensor.name,
                            "A control vector has tensors direction.1, direction.2, ...");
        }
        if (tensor.type != GGML_TYPE_F32 || tensor.n_dims() != 1 || tensor.shape[0] != n_embd || n_embd < 1) {
            throw file.fail(tensor.name + " is not a row of " + std::to_string(n_embd) + " f32 numbers");
        }
        layers = std::max(layers, layer);
    }
    std::vector<float> values(static_cast<size_t>(layers * n_embd));
    std::ifstream in(path, std::ios::binary);
    for (const GgufTensor & tensor : tensors) {
        in.seekg(static_cast<std::streamoff>(tensor.offset));
        if (!in.read(reinterpret_cast<char *>(&values[static_cast<size_t>((layer_of(tensor.name) - 1) * n_embd)]),
                     static_cast<std::streamsize>(tensor.size))) {
            throw file.fail("reading " + tensor.name + " failed");
        }
    }
    try {
        return {std::move(values), static_cast<int32_t>(n_embd)};
    } catch (const Error & error) {
        throw file.fail(error.what());
    }
}

AdapterSet::AdapterSet(const std::vector<std::pair<std::shared_ptr<const LoraAdapter>, float>> & loras,
                       std::shared_ptr<const ControlVector> control)
    : control_(std::move(control)) {
    std::map<std::shared_ptr<const LoraAdapter>, float> sums;
    for (const auto & [adapter, scale] : loras) {
        if (!std::isfinite(scale)) {
            throw Error(Errc::invalid_option, "a scale must be a finite number", "adapters");
        }
        sums[adapter] += scale;
    }
    for (const auto & [adapter, scale] : sums) {
        if (scale != 0.0F) {
            loras_.emplace_back(adapter, scale);
        }
    }
}

size_t AdapterSet::hash() const {
    size_t seed = control_ ? control_->hash() : 0;
    for (const auto & [adapter, scale] : loras_) {
        seed = mix(mix(seed, std::hash<const void *>{}(adapter.get())), std::hash<float>{}(scale));
    }
    return seed;
}

bool AdapterSet::operator==(const AdapterSet & other) const {
    if (loras_ != other.loras_ || !control_ != !other.control_) {
        return false;
    }
    return control_ == other.control_ || *control_ == *other.control_;
}

void AdapterSet::check(const Model & model) const {
    for (const auto & [adapter, scale] : loras_) {
        if (adapter->model().get() != &model) {
            throw Error(Errc::invalid_option, "it was loaded for another model", adapter->path(),
                        "Load it for this one with LoraAdapter.load");
        }
    }
    if (control_ && control_->n_embd() != llama_model_n_embd(model.get())) {
        throw Error(Errc::invalid_option,
                    "its rows have " + std::to_string(control_->n_embd()) + " numbers and the model " +
                        std::to_string(llama_model_n_embd(model.get())),
                    "control_vector", "A control vector works with the model it was made for");
    }
}

void apply(llama_context * context, const Model & model, const AdapterSet & set) {
    set.check(model);
    std::vector<llama_adapter_lora *> adapters;
    std::vector<float> scales;
    for (const auto & [adapter, scale] : set.loras()) {
        adapters.push_back(adapter->get());
        scales.push_back(scale);
    }
    const LogScope log;
    const int32_t status = guarded(Errc::decode, "adapters", [&] {
        int32_t code = llama_set_adapters_lora(context, adapters.data(), adapters.size(), scales.data());
        if (!set.control()) {
            code |= llama_set_adapter_cvec(context, nullptr, 0, 0, 0, 0);
        } else {
            // Every layer, because layers that are not given keep what an earlier vector left there.
            const auto width = static_cast<size_t>(set.control()->n_embd());
            std::vector<float> values = set.control()->values();
            values.resize(static_cast<size_t>(model.n_layer()) * width);
            code |= llama_set_adapter_cvec(context, values.data(), values.size(), set.control()->n_embd(), 1,
                                           model.n_layer());
        }
        return code;
    });
    if (status != 0) {
        throw Error(Errc::decode, "llama.cpp cannot use the adapters: " + log.reason(), "adapters");
    }
}

} // namespace mullama
