#include "model_tensors.hpp"

#include <algorithm>

// From llama.cpp's src/llama-model.h, which cannot be included without the rest of its internals.
const std::vector<std::pair<std::string, ggml_tensor *>> & llama_internal_get_tensor_map(const llama_model * model);

namespace mullama {

std::vector<GgufTensor> tensors_of(const Model & model) {
    std::vector<GgufTensor> all;
    for (const auto & [name, raw] : llama_internal_get_tensor_map(model.get())) {
        GgufTensor tensor;
        tensor.name = name;
        tensor.type = raw->type;
        std::copy_n(raw->ne, GGML_MAX_DIMS, tensor.shape.begin());
        tensor.size = ggml_nbytes(raw);
        all.push_back(std::move(tensor));
    }
    return all;
}

bool has_tensor(const Model & model, const std::string & name) {
    const auto tensors = tensors_of(model);
    return std::any_of(tensors.begin(), tensors.end(), [&](const GgufTensor & tensor) { return tensor.name == name; });
}

} // namespace mullama
