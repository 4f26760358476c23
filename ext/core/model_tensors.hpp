// The tensors of a loaded model: name, type, shape. llama.cpp offers no public way to list them.
#pragma once

#include "gguf_file.hpp"
#include "model.hpp"

#include <vector>

namespace mullama {

// In the order of the file; offsets are 0. Empty for a model of which only the vocabulary was loaded.
std::vector<GgufTensor> tensors_of(const Model & model);

bool has_tensor(const Model & model, const std::string & name);

} // namespace mullama
