#include "model_params.hpp"

#include "backend.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <map>
#include <mutex>
#include <regex>

namespace mullama {

namespace {

llama_split_mode split_mode_of(const std::string & name) {
    static const std::map<std::string, llama_split_mode> modes = {{"none", LLAMA_SPLIT_MODE_NONE},
                                                                  {"layer", LLAMA_SPLIT_MODE_LAYER},
                                                                  {"row", LLAMA_SPLIT_MODE_ROW},
                                                                  {"tensor", LLAMA_SPLIT_MODE_TENSOR}};
    const auto found = modes.find(name);
    if (found == modes.end()) {
        throw Error(Errc::invalid_option, "no such split mode: " + name, "split_mode");
    }
    return found->second;
}

llama_load_mode load_mode_of(const ModelParams & params) {
    if (params.direct_io) {
        return LLAMA_LOAD_MODE_DIRECT_IO;
    }
    if (params.mmap) {
        return params.mlock ? LLAMA_LOAD_MODE_MMAP_MLOCK : LLAMA_LOAD_MODE_MMAP;
    }
    return params.mlock ? LLAMA_LOAD_MODE_MLOCK : LLAMA_LOAD_MODE_NONE;
}

void set_numa(const std::string & name) {
    static const std::map<std::string, ggml_numa_strategy> strategies = {{"none", GGML_NUMA_STRATEGY_DISABLED},
                                                                         {"distribute", GGML_NUMA_STRATEGY_DISTRIBUTE},
                                                                         {"isolate", GGML_NUMA_STRATEGY_ISOLATE},
                                                                         {"numactl", GGML_NUMA_STRATEGY_NUMACTL},
                                                                         {"mirror", GGML_NUMA_STRATEGY_MIRROR}};
    static std::mutex mutex;
    static std::string chosen = "none";
    const auto found = strategies.find(name);
    if (found == strategies.end()) {
        throw Error(Errc::invalid_option, "no such NUMA strategy: " + name, "numa");
    }
    const std::lock_guard lock(mutex);
    if (name == "none" || name == chosen) {
        return;
    }
    if (chosen != "none") {
        throw Error(Errc::invalid_option, "this process uses the NUMA strategy " + chosen + " already", "numa",
                    "One process has one strategy; start another for " + name);
    }
    llama_numa_init(found->second);
    chosen = name;
}

std::pair<std::string, std::string> split_rule(const std::string & rule, size_t equals, const char * option,
                                               const char * form) {
    if (equals == std::string::npos || equals == 0 || equals + 1 == rule.size()) {
        throw Error(Errc::invalid_option, "'" + rule + "' is not of the form " + form, option);
    }
    return {rule.substr(0, equals), rule.substr(equals + 1)};
}

template <class T> T number_of(const std::string & text, const std::string & rule) {
    T value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) {
        throw Error(Errc::invalid_option, "'" + text + "' in '" + rule + "' is not a number", "metadata_overrides");
    }
    return value;
}

llama_model_kv_override metadata_of(const std::string & rule) {
    constexpr const char * option = "metadata_overrides";
    constexpr const char * form = "key=type:value, with int, float, bool or str as type";
    const auto [key, typed] = split_rule(rule, rule.find('='), option, form);
    const auto [type, value] = split_rule(typed, typed.find(':'), option, form);
    llama_model_kv_override made{};
    if (key.size() >= sizeof(made.key) || value.size() >= sizeof(made.val_str)) {
        throw Error(Errc::invalid_option, "'" + rule + "' is longer than 127 characters a side", option);
    }
    std::memcpy(made.key, key.data(), key.size());
    if (type == "int") {
        made.tag = LLAMA_KV_OVERRIDE_TYPE_INT;
        made.val_i64 = number_of<int64_t>(value, rule);
    } else if (type == "float") {
        made.tag = LLAMA_KV_OVERRIDE_TYPE_FLOAT;
        made.val_f64 = number_of<double>(value, rule);
    } else if (type == "bool" && (value == "true" || value == "false")) {
        made.tag = LLAMA_KV_OVERRIDE_TYPE_BOOL;
        made.val_bool = value == "true";
    } else if (type == "str") {
        made.tag = LLAMA_KV_OVERRIDE_TYPE_STR;
        std::memcpy(made.val_str, value.data(), value.size());
    } else {
        throw Error(Errc::invalid_option, "'" + rule + "' is not of the form " + form, option);
    }
    return made;
}

template <class Map> std::string keys_of(const Map & map) {
    std::string names;
    for (const auto & [name, value] : map) {
        names += (names.empty() ? "" : ", ") + name;
    }
    return names;
}

} // namespace

RawModelParams::RawModelParams(const ModelParams & params) : raw(llama_model_default_params()) {
    set_numa(params.numa);
    raw.n_gpu_layers = params.gpu_layers;
    raw.split_mode = split_mode_of(params.split_mode);
    raw.main_gpu = params.main_gpu;
    raw.load_mode = load_mode_of(params);
    raw.check_tensors = params.check_tensors;
    raw.vocab_only = params.vocab_only;
    raw.use_extra_bufts = params.repack;
    raw.no_host = params.no_host;
    raw.load_mtp = params.mtp;
    set_devices(params.devices);
    set_split(params.tensor_split);
    set_overrides(params.override_tensors);
    set_metadata(params.metadata_overrides);
}

void RawModelParams::set_devices(const std::vector<std::string> & names) {
    if (names.empty()) {
        return;
    }
    std::map<std::string, ggml_backend_dev_t> known;
    for (size_t i = 0; i < ggml_backend_dev_count(); ++i) {
        ggml_backend_dev_t device = ggml_backend_dev_get(i);
        if (ggml_backend_dev_type(device) != GGML_BACKEND_DEVICE_TYPE_CPU) {
            known.emplace(ggml_backend_dev_name(device), device);
        }
    }
    for (const std::string & name : names) {
        if (name == "none" && names.size() == 1) {
            break; // an empty list: the CPU alone
        }
        const auto found = known.find(name);
        if (found == known.end()) {
            throw Error(Errc::invalid_option, "no such device: " + name, "devices",
                        "There is " + keys_of(known) + (known.empty() ? "" : " and ") + "none, for the CPU alone");
        }
        devices_.push_back(found->second);
    }
    devices_.push_back(nullptr);
    raw.devices = devices_.data();
}

void RawModelParams::set_split(const std::vector<double> & shares) {
    if (shares.empty()) {
        return;
    }
    if (shares.size() > llama_max_devices()) {
        throw Error(Errc::invalid_option, "there can be at most " + std::to_string(llama_max_devices()) + " devices",
                    "tensor_split");
    }
    double sum = 0;
    split_.assign(llama_max_devices(), 0.0F);
    for (size_t i = 0; i < shares.size(); ++i) {
        if (!(shares[i] >= 0) || !std::isfinite(shares[i])) {
            throw Error(Errc::invalid_option, "a share must be a number of at least 0", "tensor_split");
        }
        split_[i] = static_cast<float>(shares[i]);
        sum += shares[i];
    }
    if (sum <= 0) {
        throw Error(Errc::invalid_option, "the shares must not all be 0", "tensor_split");
    }
    raw.tensor_split = split_.data();
}

void RawModelParams::set_overrides(const std::vector<std::string> & rules) {
    if (rules.empty()) {
        return;
    }
    std::map<std::string, ggml_backend_buffer_type_t> known;
    for (size_t i = 0; i < ggml_backend_dev_count(); ++i) {
        if (ggml_backend_buffer_type_t type = ggml_backend_dev_buffer_type(ggml_backend_dev_get(i))) {
            known.emplace(ggml_backend_buft_name(type), type);
        }
    }
    patterns_.reserve(rules.size()); // what overrides_ points to must not move
    for (const std::string & rule : rules) {
        const auto [pattern, type] = split_rule(rule, rule.rfind('='), "override_tensors", "regex=buffer type");
        const auto found = known.find(type);
        if (found == known.end()) {
            throw Error(Errc::invalid_option, "no such buffer type: " + type, "override_tensors",
                        "There is " + keys_of(known));
        }
        try {
            const std::regex compiled(pattern);
        } catch (const std::regex_error & error) {
            throw Error(Errc::invalid_option, "'" + pattern + "' is not a regular expression: " + error.what(),
                        "override_tensors");
        }
        patterns_.push_back(pattern);
        overrides_.push_back({patterns_.back().c_str(), found->second});
    }
    overrides_.push_back({nullptr, nullptr});
    raw.tensor_buft_overrides = overrides_.data();
}

void RawModelParams::set_metadata(const std::vector<std::string> & rules) {
    if (rules.empty()) {
        return;
    }
    for (const std::string & rule : rules) {
        metadata_.push_back(metadata_of(rule));
    }
    metadata_.push_back({}); // an empty key ends the list
    raw.kv_overrides = metadata_.data();
}

} // namespace mullama
