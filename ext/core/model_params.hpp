// ModelParams as llama.cpp wants them, with everything its pointers point to.
#pragma once

#include "model.hpp"

#include <string>
#include <vector>

namespace mullama {

class RawModelParams {
  public:
    // Throws Error(invalid_option) naming the option and what there is to choose from. Also sets the
    // NUMA strategy, which is one for the whole process.
    explicit RawModelParams(const ModelParams & params);
    RawModelParams(const RawModelParams &) = delete;
    RawModelParams & operator=(const RawModelParams &) = delete;

    llama_model_params raw;

  private:
    void set_devices(const std::vector<std::string> & names);
    void set_split(const std::vector<double> & shares);
    void set_overrides(const std::vector<std::string> & rules);
    void set_metadata(const std::vector<std::string> & rules);

    std::vector<ggml_backend_dev_t> devices_;
    std::vector<float> split_;
    std::vector<std::string> patterns_;
    std::vector<llama_model_tensor_buft_override> overrides_;
    std::vector<llama_model_kv_override> metadata_;
};

} // namespace mullama
