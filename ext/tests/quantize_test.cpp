#include "check.hpp"
#include "guard.hpp"
#include "log.hpp"
#include "quantize.hpp"
#include "tiny_gguf.hpp"

#include "llama.h"

#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>

using namespace mullama;
namespace fs = std::filesystem;

namespace {

std::string bytes_of(const std::string & path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

size_t files_in(const fs::path & folder) {
    return static_cast<size_t>(std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

// An importance matrix in the older format, for every matrix of the tiny model.
std::map<std::string, std::vector<float>> write_imatrix(const std::string & path, const std::string & model) {
    std::map<std::string, std::vector<float>> columns;
    for (const GgufTensor & tensor : GgufFile(model).tensors()) {
        if (tensor.n_dims() == 2) {
            auto & values = columns[tensor.name];
            for (int64_t i = 0; i < tensor.shape[0]; ++i) {
                values.push_back(1.0F + static_cast<float>((i * 37) % 11));
            }
        }
    }
    std::ofstream out(path, std::ios::binary);
    const auto number = [&](size_t value) {
        const auto raw = static_cast<int32_t>(value);
        out.write(reinterpret_cast<const char *>(&raw), sizeof(raw));
    };
    number(columns.size());
    for (const auto & [name, values] : columns) {
        number(name.size());
        out.write(name.data(), static_cast<std::streamsize>(name.size()));
        number(1);
        number(values.size());
        out.write(reinterpret_cast<const char *>(values.data()), static_cast<std::streamsize>(values.size() * sizeof(float)));
    }
    return columns;
}

// What llama-quantize would write.
bool upstream(const std::string & from, const std::string & to, llama_ftype ftype,
              const std::map<std::string, std::vector<float>> & columns, bool pure) {
    llama_model_quantize_params params = llama_model_quantize_default_params();
    params.ftype = ftype;
    params.pure = pure;
    params.nthread = 1;
    std::vector<llama_model_imatrix_data> imatrix;
    for (const auto & [name, values] : columns) {
        imatrix.push_back({name.c_str(), values.data(), values.size()});
    }
    imatrix.push_back({nullptr, nullptr, 0});
    std::vector<llama_model_kv_override> keys(3);
    std::strcpy(keys[0].key, "quantize.imatrix.file");
    keys[0].tag = LLAMA_KV_OVERRIDE_TYPE_STR;
    std::strcpy(keys[0].val_str, "old.imatrix");
    std::strcpy(keys[1].key, "quantize.imatrix.entries_count");
    keys[1].tag = LLAMA_KV_OVERRIDE_TYPE_INT;
    keys[1].val_i64 = static_cast<int64_t>(columns.size());
    keys[2].key[0] = 0;
    if (!columns.empty()) {
        params.imatrix = imatrix.data();
        params.kv_overrides = keys.data();
    }
    return llama_model_quantize(from.c_str(), to.c_str(), &params) == 0;
}

Errc code_of(const std::function<void()> & call) {
    try {
        call();
    } catch (const Error & error) {
        return error.code;
    }
    return Errc::decode; // nothing here throws that
}

void init() {
    install_log_handler();
    install_abort_handler();
    llama_backend_init();
}

} // namespace

TEST(every_type_is_written_byte_for_byte_as_llama_quantize_does) {
    init();
    const TempFolder folder;
    const std::string model = folder.file("model.gguf");
    write_tiny_gguf(model);
    const auto columns = write_imatrix(folder.file("old.imatrix"), model);
    for (const FileType & type : file_types()) {
        for (const bool with_imatrix : {false, true}) {
            QuantizeParams params;
            params.threads = 2;
            params.imatrix = with_imatrix ? folder.file("old.imatrix") : "";
            const QuantizePlan plan = plan_quantization(model, type.name, params);
            if (!plan.missing_imatrix.empty()) {
                continue; // refused, as upstream does; the next round has it
            }
            QuantizeProgress progress;
            const std::string ours = folder.file("ours.gguf");
            const std::string theirs = folder.file("theirs.gguf");
            CHECK(quantize(plan, ours, params, progress).size() == 1);
            CHECK(progress.done == progress.total);
            CHECK(upstream(model, theirs, plan.ftype, with_imatrix ? columns : decltype(columns){}, false));
            if (bytes_of(ours) != bytes_of(theirs)) {
                std::cerr << "different: " << type.name << (with_imatrix ? " with imatrix\n" : "\n");
                CHECK(false);
            }
        }
    }
}

TEST(two_bits_and_less_are_refused_without_an_importance_matrix) {
    init();
    const TempFolder folder;
    write_tiny_gguf(folder.file("model.gguf"));
    for (const char * type : {"IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ2_M", "IQ3_XXS", "Q2_K_S"}) {
        const QuantizePlan plan = plan_quantization(folder.file("model.gguf"), type, {});
        CHECK(!plan.missing_imatrix.empty());
        QuantizeProgress progress;
        CHECK(code_of([&] { quantize(plan, folder.file("out.gguf"), {}, progress); }) == Errc::invalid_option);
    }
    CHECK(files_in(folder.path) == 1);
}

TEST(weights_that_are_not_finite_are_an_error_and_leave_nothing) {
    init();
    const TempFolder folder;
    write_tiny_gguf(folder.file("model.gguf"), std::numeric_limits<float>::quiet_NaN());
    QuantizeParams params;
    params.threads = 4; // on whichever thread it is found
    const QuantizePlan plan = plan_quantization(folder.file("model.gguf"), "Q8_0", params);
    QuantizeProgress progress;
    CHECK(code_of([&] { quantize(plan, folder.file("out.gguf"), params, progress); }) == Errc::quantize);
    CHECK(files_in(folder.path) == 1);
}

TEST(extreme_weights_never_end_the_process) {
    init();
    const TempFolder folder;
    write_tiny_gguf(folder.file("model.gguf"), 3e38F); // its square overflows inside the quantizers
    const auto columns = write_imatrix(folder.file("old.imatrix"), folder.file("model.gguf"));
    QuantizeParams params;
    params.threads = 4;
    params.imatrix = folder.file("old.imatrix");
    for (const FileType & type : file_types()) {
        const QuantizePlan plan = plan_quantization(folder.file("model.gguf"), type.name, params);
        QuantizeProgress progress;
        const Errc code = code_of([&] { quantize(plan, folder.file("out.gguf"), params, progress); });
        CHECK(code == Errc::decode || code == Errc::quantize);
    }
}

TEST(a_cancelled_job_leaves_nothing) {
    init();
    const TempFolder folder;
    write_tiny_gguf(folder.file("model.gguf"));
    const QuantizePlan plan = plan_quantization(folder.file("model.gguf"), "Q4_K_M", {});
    QuantizeProgress progress;
    progress.cancelled = true;
    CHECK(code_of([&] { quantize(plan, folder.file("out.gguf"), {}, progress); }) == Errc::quantize_cancelled);
    CHECK(files_in(folder.path) == 1);
}

TEST(a_damaged_importance_matrix_is_refused) {
    init();
    const TempFolder folder;
    const std::string path = folder.file("bad.imatrix");
    const auto with = [&](const std::string & content) {
        std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
        return code_of([&] { Imatrix::load(path); });
    };
    const std::string one("\1\0\0\0", 4);
    const std::string minus(4, '\xff');
    CHECK(with("") == Errc::model_load);
    CHECK(with(minus) == Errc::model_load);
    CHECK(with(one + minus) == Errc::model_load);                                   // name of -1 characters
    CHECK(with(one + one + "a" + one + minus) == Errc::model_load);                 // -1 values
    CHECK(with(one + one + "a" + one + std::string("\xff\xff\xff\x0f", 4)) == Errc::model_load); // more than there is
    CHECK(with("GGUF") == Errc::model_load);
    CHECK(with(one + one + "a" + one + one + std::string("\0\0\x80\x3f", 4)) == Errc::decode); // a good one
}
