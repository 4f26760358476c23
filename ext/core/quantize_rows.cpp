#include "quantize.hpp"

#include <cstring>
#include <stdexcept>

namespace mullama {

void convert_rows(ggml_type from, const uint8_t * src, ggml_type to, uint8_t * dst, int64_t rows, int64_t width,
                  const float * imatrix) {
    const size_t src_row = ggml_row_size(from, width);
    const size_t dst_row = ggml_row_size(to, width);
    const auto n_bytes = static_cast<size_t>(rows) * src_row;
    if (!ggml_validate_row_data(from, src, n_bytes)) {
        throw std::runtime_error("it holds a number that is not finite; the file is damaged");
    }
    if (from == to) {
        std::memcpy(dst, src, n_bytes);
        return;
    }
    std::vector<float> floats;
    const auto * values = reinterpret_cast<const float *>(src);
    if (from != GGML_TYPE_F32) {
        const auto to_float = ggml_get_type_traits(from)->to_float;
        if (to_float == nullptr) {
            throw std::runtime_error(std::string("type ") + ggml_type_name(from) + " cannot be converted");
        }
        floats.resize(static_cast<size_t>(rows * width));
        to_float(src, floats.data(), rows * width);
        values = floats.data();
    }
    const size_t made = ggml_quantize_chunk(to, values, dst, 0, rows, width, imatrix);
    if (made != static_cast<size_t>(rows) * dst_row || !ggml_validate_row_data(to, dst, made)) {
        throw std::runtime_error(std::string("its weights cannot be written as ") + ggml_type_name(to));
    }
}

} // namespace mullama
