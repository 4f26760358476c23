// A GGUF file's header, read with suspicion: what cannot be right is refused here, before
// llama.cpp sees the file.
#pragma once

#include "error.hpp"

#include "gguf.h"

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace mullama {

struct GgufTensor {
    std::string name;
    ggml_type type = GGML_TYPE_F32;
    std::array<int64_t, GGML_MAX_DIMS> shape{1, 1, 1, 1}; // ggml's order: the row length first
    uint64_t offset = 0; // bytes from the start of the file
    uint64_t size = 0;   // bytes

    int64_t rows() const { return shape[1] * shape[2] * shape[3]; }
    int n_dims() const { return shape[3] > 1 ? 4 : shape[2] > 1 ? 3 : shape[1] > 1 ? 2 : 1; }
};

class GgufFile {
  public:
    // Throws Error(model_load) for a missing, foreign, damaged or truncated file.
    explicit GgufFile(std::string path);

    // An error about this file, for the caller to throw.
    Error fail(const std::string & what, const std::string & hint = {}) const {
        return {Errc::model_load, what, path_, hint};
    }

    // A value of exactly this type, or nothing.
    std::string text(const char * key) const;
    std::optional<uint32_t> number(const char * key) const;
    std::optional<float> real(const char * key) const;
    bool flag(const char * key) const;

    std::vector<GgufTensor> tensors() const;
    const gguf_context * get() const { return file_.get(); }
    const std::string & path() const { return path_; }

  private:
    void check_magic() const;
    void check_size() const;

    std::string path_;
    std::unique_ptr<gguf_context, decltype(&gguf_free)> file_;
};

} // namespace mullama
