#include "gguf_file.hpp"

#include "guard.hpp"
#include "log.hpp"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>

namespace mullama {

namespace fs = std::filesystem;

GgufFile::GgufFile(std::string path) : path_(std::move(path)), file_(nullptr, gguf_free) {
    check_magic();
    const LogScope log;
    gguf_init_params params{/*no_alloc=*/true, /*ctx=*/nullptr};
    file_.reset(guarded(Errc::model_load, path_, [&] { return gguf_init_from_file(path_.c_str(), params); }));
    if (!file_) {
        throw fail("its GGUF header cannot be read: " + log.reason(), "The file is damaged; get it again");
    }
    check_size();
}

std::string GgufFile::text(const char * key) const {
    const int64_t id = gguf_find_key(file_.get(), key);
    return id >= 0 && gguf_get_kv_type(file_.get(), id) == GGUF_TYPE_STRING ? gguf_get_val_str(file_.get(), id) : "";
}

std::optional<uint32_t> GgufFile::number(const char * key) const {
    const int64_t id = gguf_find_key(file_.get(), key);
    if (id < 0 || gguf_get_kv_type(file_.get(), id) != GGUF_TYPE_UINT32) {
        return std::nullopt;
    }
    return gguf_get_val_u32(file_.get(), id);
}

std::optional<float> GgufFile::real(const char * key) const {
    const int64_t id = gguf_find_key(file_.get(), key);
    if (id < 0 || gguf_get_kv_type(file_.get(), id) != GGUF_TYPE_FLOAT32) {
        return std::nullopt;
    }
    return gguf_get_val_f32(file_.get(), id);
}

bool GgufFile::flag(const char * key) const {
    const int64_t id = gguf_find_key(file_.get(), key);
    return id >= 0 && gguf_get_kv_type(file_.get(), id) == GGUF_TYPE_BOOL && gguf_get_val_bool(file_.get(), id);
}

std::vector<GgufTensor> GgufFile::tensors() const {
    std::vector<GgufTensor> all;
    for (int64_t i = 0; i < gguf_get_n_tensors(file_.get()); ++i) {
        GgufTensor tensor;
        tensor.name = gguf_get_tensor_name(file_.get(), i);
        tensor.type = gguf_get_tensor_type(file_.get(), i);
        std::copy_n(gguf_get_tensor_ne(file_.get(), i), GGML_MAX_DIMS, tensor.shape.begin());
        tensor.offset = gguf_get_data_offset(file_.get()) + gguf_get_tensor_offset(file_.get(), i);
        tensor.size = gguf_get_tensor_size(file_.get(), i);
        all.push_back(std::move(tensor));
    }
    return all;
}

void GgufFile::check_magic() const {
    std::error_code error;
    if (!fs::exists(path_, error)) {
        throw fail("there is no such file");
    }
    if (fs::is_directory(path_, error)) {
        throw fail("it is a folder", "Name the .gguf file inside it");
    }
    std::ifstream in(path_, std::ios::binary);
    char magic[4] = {};
    if (!in) {
        throw fail("it cannot be opened", "Check its permissions");
    }
    if (!in.read(magic, 4) || std::memcmp(magic, "GGUF", 4) != 0) {
        throw fail("it is not a GGUF file");
    }
}

// Every tensor must end inside the file.
void GgufFile::check_size() const {
    const uint64_t have = fs::file_size(path_);
    uint64_t need = gguf_get_data_offset(file_.get());
    for (int64_t i = 0; i < gguf_get_n_tensors(file_.get()); ++i) {
        const uint64_t end = gguf_get_data_offset(file_.get()) + gguf_get_tensor_offset(file_.get(), i) +
                             gguf_get_tensor_size(file_.get(), i);
        need = std::max(need, end);
    }
    if (gguf_get_n_tensors(file_.get()) > 0 && have < need) {
        throw fail("it is truncated: " + std::to_string(have) + " of " + std::to_string(need) + " bytes",
                   "Get it again; an interrupted download looks like this");
    }
}

} // namespace mullama
