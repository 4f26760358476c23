// Importance matrices: how much each input column of a weight matters, measured on real text.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace mullama {

struct Imatrix {
    // Mean square of each input column, per tensor: row length floats for each expert.
    std::map<std::string, std::vector<float>> columns;
    std::string file;                  // name without its folder
    std::vector<std::string> datasets; // what it was measured on
    int32_t chunks = 0;                // 0: not known

    // Reads a GGUF or the older binary format. Throws Error(model_load) for anything broken.
    static Imatrix load(const std::string & path);

    // Keeps the tensors whose name holds one of `include` (all if empty) and none of `exclude`.
    void filter(const std::vector<std::string> & include, const std::vector<std::string> & exclude);
};

} // namespace mullama
