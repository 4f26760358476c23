// A LoRA file is read with suspicion before llama.cpp sees it: upstream checks the first two sides of
// each matrix and aborts the process, at load or in the middle of a batch, on much else.
#include "gguf_check.hpp"
#include "gguf_file.hpp"
#include "model_tensors.hpp"

#include <algorithm>
#include <cmath>
#include <map>

namespace mullama {

namespace {

constexpr std::string_view suffix_a = ".lora_a";
constexpr std::string_view suffix_b = ".lora_b";

struct Pair {
    const GgufTensor * a = nullptr;
    const GgufTensor * b = nullptr;
};

std::string shape_text(const GgufTensor & tensor) {
    std::string text;
    for (int i = 0; i < tensor.n_dims(); ++i) {
        text += (i ? "x" : "") + std::to_string(tensor.shape[static_cast<size_t>(i)]);
    }
    return text;
}

void check_metadata(const GgufFile & file, const Model & model) {
    for (const char * key : {"general.type", "general.architecture", "adapter.type"}) {
        const int64_t id = gguf_find_key(file.get(), key);
        if (id >= 0 && gguf_get_kv_type(file.get(), id) != GGUF_TYPE_STRING) {
            throw file.fail(std::string(key) + " is not a text");
        }
    }
    if (file.text("general.type") != "adapter" || file.text("adapter.type") != "lora") {
        throw file.fail("it is not a LoRA adapter", "Convert adapters with llama.cpp's convert_lora_to_gguf.py");
    }
    const std::string arch = file.text("general.architecture");
    const auto metadata = model.metadata();
    const auto own = metadata.find("general.architecture");
    if (own != metadata.end() && own->second != arch) {
        throw file.fail("it is made for the architecture " + arch + ", the model is " + own->second,
                        "An adapter works with the model it was trained on");
    }
    const int64_t alpha = gguf_find_key(file.get(), "adapter.lora.alpha");
    if (alpha >= 0 && !std::isfinite(file.real("adapter.lora.alpha").value_or(NAN))) {
        throw file.fail("adapter.lora.alpha is not a number");
    }
}

void check_invocation(const GgufFile & file, const Model & model) {
    const int64_t id = gguf_find_key(file.get(), "adapter.alora.invocation_tokens");
    if (id < 0) {
        return;
    }
    if (gguf_get_kv_type(file.get(), id) != GGUF_TYPE_ARRAY || gguf_get_arr_type(file.get(), id) != GGUF_TYPE_UINT32) {
        throw file.fail("adapter.alora.invocation_tokens is not a list of tokens");
    }
    const auto * tokens = static_cast<const uint32_t *>(gguf_get_arr_data(file.get(), id));
    for (size_t i = 0; i < gguf_get_arr_n(file.get(), id); ++i) {
        if (tokens[i] >= static_cast<uint32_t>(model.n_vocab())) {
            throw file.fail("its invocation token " + std::to_string(tokens[i]) + " is not in the model's vocabulary");
        }
    }
}

void check_pair(const GgufFile & file, const std::string & name, const Pair & pair, const GgufTensor & w) {
    if (!pair.a || !pair.b) {
        throw file.fail(name + " lacks its " + (pair.a ? "lora_b" : "lora_a"));
    }
    for (const GgufTensor * side : {pair.a, pair.b}) {
        if (side->type != GGML_TYPE_F32 && side->type != GGML_TYPE_F16 && side->type != GGML_TYPE_BF16 &&
            side->type != GGML_TYPE_Q8_0) {
            throw file.fail(side->name + " is of type " + ggml_type_name(side->type) + "; f32, f16, bf16 and q8_0 can be used");
        }
    }
    const auto & a = pair.a->shape;
    const auto & b = pair.b->shape;
    const bool embedding = name.ends_with("token_embd.weight");
    const int64_t rank = b[0];
    const bool fits = embedding ? b[1] == w.shape[0] && a[1] == w.shape[1] && a[0] == rank
                                : a[0] == w.shape[0] && b[1] == w.shape[1] && a[1] == rank;
    const bool deep = a[2] == w.shape[2] && b[2] == w.shape[2] && a[3] == 1 && b[3] == 1;
    if (!fits || !deep || rank < 1) {
        throw file.fail(name + " is " + shape_text(w) + " in the model; " + shape_text(*pair.a) + " and " +
                            shape_text(*pair.b) + " do not fit it",
                        "An adapter works with the model it was trained on");
    }
}

} // namespace

LoraSummary check_lora_file(const std::string & path, const Model & model) {
    const GgufFile file(path);
    check_metadata(file, model);
    check_invocation(file, model);
    const std::vector<GgufTensor> tensors = file.tensors();
    std::map<std::string, Pair> pairs;
    for (const GgufTensor & tensor : tensors) {
        const std::string & name = tensor.name;
        if (name.ends_with(suffix_a)) {
            pairs[name.substr(0, name.size() - suffix_a.size())].a = &tensor;
        } else if (name.ends_with(suffix_b)) {
            pairs[name.substr(0, name.size() - suffix_b.size())].b = &tensor;
        } else if (!name.ends_with("_norm.weight")) {
            throw file.fail(name + " is neither a lora_a nor a lora_b");
        }
    }
    if (pairs.empty()) {
        throw file.fail("it changes nothing: it holds no tensors");
    }
    std::map<std::string, GgufTensor> own;
    for (GgufTensor & tensor : tensors_of(model)) {
        own.emplace(tensor.name, tensor);
    }
    if (pairs.count("token_embd.weight") > 0 && own.count("output.weight") == 0) {
        // llama.cpp multiplies by a table that it takes for the output as well, and aborts.
        throw file.fail("it changes the token embeddings, which this model uses as output too");
    }
    LoraSummary summary;
    summary.alpha = file.real("adapter.lora.alpha").value_or(0.0F);
    for (const auto & [name, pair] : pairs) {
        const auto found = own.find(name);
        if (found == own.end()) {
            throw file.fail("the model has no " + name, "An adapter works with the model it was trained on");
        }
        check_pair(file, name, pair, found->second);
        summary.size_bytes += pair.a->size + pair.b->size;
        ++summary.n_tensors;
    }
    return summary;
}

} // namespace mullama
