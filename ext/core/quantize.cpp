#include "quantize.hpp"

#include "guard.hpp"
#include "partial_file.hpp"

#include "ggml-cpp.h"

#include <algorithm>
#include <exception>
#include <filesystem>
#include <fstream>
#include <memory>
#include <mutex>
#include <thread>

namespace mullama {

namespace {

namespace fs = std::filesystem;

constexpr uint64_t slab_bytes = 64 << 20;   // held in memory at once, source and result together
constexpr int64_t chunk_weights = 64 * 1024; // converted between two looks at the cancel flag

Error cancelled() { return {Errc::quantize_cancelled, "quantizing was cancelled; nothing was written"}; }

// One output file: its header, and which tensors of the plan it holds.
struct Output {
    gguf_context_ptr header{gguf_init_empty()};
    std::vector<const TensorPlan *> tensors;
    std::string path;
    uint64_t size = 0; // bytes
};

void set_metadata(gguf_context * header, const QuantizePlan & plan) {
    const GgufFile source(plan.sources.front());
    gguf_set_kv(header, source.get());
    gguf_set_val_u32(header, "general.quantization_version", GGML_QNT_VERSION);
    if (!plan.only_copy) {
        gguf_set_val_u32(header, "general.file_type", static_cast<uint32_t>(plan.ftype));
    }
    for (const char * key : {"split.no", "split.count", "split.tensors.count"}) {
        gguf_remove_key(header, key);
    }
    if (plan.imatrix && !plan.imatrix->columns.empty()) {
        gguf_set_val_str(header, "quantize.imatrix.file", plan.imatrix->file.c_str());
        if (!plan.imatrix->datasets.empty()) {
            gguf_set_val_str(header, "quantize.imatrix.dataset", plan.imatrix->datasets.front().c_str());
        }
        gguf_set_val_u32(header, "quantize.imatrix.entries_count", static_cast<uint32_t>(plan.imatrix->columns.size()));
        if (plan.imatrix->chunks > 0) {
            gguf_set_val_u32(header, "quantize.imatrix.chunks_count", static_cast<uint32_t>(plan.imatrix->chunks));
        }
    }
}

void add_tensors(Output & output) {
    const ggml_context_ptr scratch(ggml_init({ggml_tensor_overhead() * (output.tensors.size() + 1), nullptr, true}));
    for (const TensorPlan * tensor : output.tensors) {
        const GgufTensor & from = tensor->from;
        ggml_tensor * shape = ggml_new_tensor(scratch.get(), tensor->to, from.n_dims(), from.shape.data());
        ggml_set_name(shape, from.name.c_str());
        gguf_add_tensor(output.header.get(), shape);
    }
    output.size = gguf_get_meta_size(output.header.get());
    for (const TensorPlan * tensor : output.tensors) {
        output.size += GGML_PAD(tensor->size, gguf_get_alignment(output.header.get()));
    }
}

std::string split_name(const std::string & target, size_t i, size_t count) {
    const std::string stem = target.ends_with(".gguf") ? target.substr(0, target.size() - 5) : target;
    std::vector<char> name(stem.size() + 64);
    llama_split_path(name.data(), name.size(), stem.c_str(), static_cast<int>(i), static_cast<int>(count));
    return name.data();
}

std::vector<Output> outputs_of(const QuantizePlan & plan, const std::string & target, bool keep_split) {
    const size_t count = keep_split ? plan.sources.size() : 1;
    std::vector<Output> outputs(count);
    set_metadata(outputs[0].header.get(), plan);
    for (const TensorPlan & tensor : plan.tensors) {
        outputs[keep_split ? tensor.file : 0].tensors.push_back(&tensor);
    }
    for (size_t i = 0; i < count; ++i) {
        outputs[i].path = count > 1 ? split_name(target, i, count) : target;
        if (count > 1) {
            gguf_set_val_u16(outputs[i].header.get(), "split.no", static_cast<uint16_t>(i));
            gguf_set_val_u16(outputs[i].header.get(), "split.count", static_cast<uint16_t>(count));
            gguf_set_val_i32(outputs[i].header.get(), "split.tensors.count", static_cast<int32_t>(plan.tensors.size()));
        }
        add_tensors(outputs[i]);
    }
    return outputs;
}

void check_target(const QuantizePlan & plan, const std::vector<Output> & outputs) {
    uint64_t need = 0;
    for (const Output & output : outputs) {
        std::error_code error;
        for (const std::string & source : plan.sources) {
            if (fs::equivalent(source, output.path, error)) {
                throw Error(Errc::invalid_option, "it is the model that is read; it cannot be written over", output.path,
                            "Name another file");
            }
        }
        if (fs::is_directory(output.path, error)) {
            throw Error(Errc::quantize, "it is a folder", output.path, "Name a file in it");
        }
        need += output.size;
    }
    const fs::path folder = fs::absolute(outputs.front().path).parent_path();
    std::error_code error;
    if (!fs::is_directory(folder, error)) {
        throw Error(Errc::quantize, "there is no such folder", folder.string());
    }
    const fs::space_info space = fs::space(folder, error);
    if (!error && space.available < need) {
        throw Error(Errc::quantize,
                    "the disk has " + std::to_string(space.available >> 20) + " MiB free and " +
                        std::to_string((need >> 20) + 1) + " are needed",
                    outputs.front().path, "Free some space, or name another folder");
    }
}

void check_plan(const QuantizePlan & plan, const QuantizeParams & params) {
    if (!plan.missing_imatrix.empty()) {
        throw Error(Errc::invalid_option,
                    plan.type + " needs an importance matrix for " + plan.missing_imatrix.front() + " and " +
                        std::to_string(plan.missing_imatrix.size() - 1) + " more",
                    plan.imatrix ? params.imatrix : "imatrix",
                    plan.imatrix ? "It was measured on another model, or its entries were excluded"
                                 : "Give the .imatrix or .gguf file that is published beside such models");
    }
    if (!plan.requantized.empty() && !params.allow_requantize) {
        throw Error(Errc::invalid_option,
                    "its weights are quantized already (" + plan.requantized.front() + " and " +
                        std::to_string(plan.requantized.size() - 1) + " more)",
                    plan.sources.front(), "Start from an F16, BF16 or F32 file, or allow requantizing and lose quality");
    }
}

// Converts one tensor slab by slab, on all threads.
class Converter {
  public:
    Converter(const QuantizePlan & plan, const TensorPlan & tensor, int32_t threads, QuantizeProgress & progress)
        : tensor_(tensor), threads_(threads), progress_(progress), width_(tensor.from.shape[0]),
          src_row_(ggml_row_size(tensor.from.type, width_)), dst_row_(ggml_row_size(tensor.to, width_)),
          source_(plan.sources[tensor.file]), in_(source_, std::ios::binary) {
        in_.seekg(static_cast<std::streamoff>(tensor.from.offset));
        if (plan.imatrix && tensor.from.type != tensor.to) {
            find_imatrix(*plan.imatrix);
        }
    }

    void run(PartialFile & out) {
        const int64_t rows = tensor_.from.rows();
        const auto fit = static_cast<int64_t>(slab_bytes / (src_row_ + dst_row_ + 1));
        const int64_t slab = std::clamp<int64_t>(fit, 1, std::max<int64_t>(rows, 1));
        src_.resize(static_cast<size_t>(slab) * src_row_);
        dst_.resize(static_cast<size_t>(slab) * dst_row_);
        for (int64_t first = 0; first < rows; first += slab) {
            const int64_t count = std::min(slab, rows - first);
            if (!in_.read(reinterpret_cast<char *>(src_.data()), static_cast<std::streamsize>(count * static_cast<int64_t>(src_row_)))) {
                throw Error(Errc::model_load, "reading " + tensor_.from.name + " failed", source_);
            }
            convert(first, count);
            out.write(dst_.data(), static_cast<size_t>(count) * dst_row_);
        }
    }

  private:
    struct Team { // joins its threads, whatever happens
        std::vector<std::thread> workers;
        ~Team() {
            for (std::thread & worker : workers) {
                worker.join();
            }
        }
    };

    void find_imatrix(const Imatrix & imatrix) {
        const auto found = imatrix.columns.find(tensor_.from.name);
        if (found == imatrix.columns.end()) {
            return;
        }
        if (found->second.size() == static_cast<size_t>(width_ * tensor_.from.shape[2])) {
            imatrix_ = found->second.data();
        } else if (tensor_.from.name != "token_embd.weight" && tensor_.from.name != "per_layer_token_embd.weight") {
            throw Error(Errc::invalid_option,
                        "its entry for " + tensor_.from.name + " has " + std::to_string(found->second.size()) +
                            " columns and the tensor " + std::to_string(width_ * tensor_.from.shape[2]),
                        imatrix.file, "It was measured on another model");
        }
    }

    void convert(int64_t first, int64_t count) {
        next_ = 0;
        failure_ = nullptr;
        const auto helpers = std::min<int64_t>(threads_, (count * width_ + chunk_weights - 1) / chunk_weights) - 1;
        {
            Team team;
            for (int64_t i = 0; i < helpers; ++i) {
                team.workers.emplace_back([&] { work(first, count); });
            }
            work(first, count);
        }
        if (failure_) {
            std::rethrow_exception(failure_);
        }
    }

    // A share of the slab; the first failure stops every worker.
    void work(int64_t first, int64_t count) noexcept {
        const int64_t step = std::max<int64_t>(1, chunk_weights / std::max<int64_t>(width_, 1));
        try {
            guarded(Errc::quantize, tensor_.from.name, [&] {
                while (std::optional<std::pair<int64_t, int64_t>> share = take(first, count, step)) {
                    const auto [row, rows] = *share;
                    const auto at = static_cast<size_t>(row);
                    const float * columns = imatrix_ ? imatrix_ + (first + row) / tensor_.from.shape[1] * width_ : nullptr;
                    convert_rows(tensor_.from.type, src_.data() + at * src_row_, tensor_.to, dst_.data() + at * dst_row_,
                                 rows, width_, columns);
                    progress_.done += static_cast<uint64_t>(rows) * src_row_;
                }
                return 0;
            });
        } catch (const Error &) {
            fail(std::current_exception());
        } catch (const std::exception & error) {
            fail(std::make_exception_ptr(Error(Errc::quantize, error.what(), tensor_.from.name)));
        }
    }

    // The next rows to convert, never across the matrices of two experts.
    std::optional<std::pair<int64_t, int64_t>> take(int64_t first, int64_t count, int64_t step) {
        const std::lock_guard lock(mutex_);
        if (progress_.cancelled) {
            throw cancelled();
        }
        if (failure_ || next_ >= count) {
            return std::nullopt;
        }
        const int64_t row = next_;
        const int64_t expert_ends = tensor_.from.shape[1] - (first + row) % tensor_.from.shape[1];
        const int64_t rows = std::min({step, count - row, expert_ends});
        next_ += rows;
        return std::pair{row, rows};
    }

    void fail(std::exception_ptr error) {
        const std::lock_guard lock(mutex_);
        if (!failure_) {
            failure_ = std::move(error);
        }
    }

    const TensorPlan & tensor_;
    const int32_t threads_;
    QuantizeProgress & progress_;
    const int64_t width_;
    const size_t src_row_;
    const size_t dst_row_;
    const std::string source_;
    std::ifstream in_;
    const float * imatrix_ = nullptr;
    std::vector<uint8_t> src_;
    std::vector<uint8_t> dst_;
    std::mutex mutex_;
    int64_t next_ = 0;
    std::exception_ptr failure_;
};

void write(const Output & output, PartialFile & file, const QuantizePlan & plan, int32_t threads,
           QuantizeProgress & progress) {
    std::vector<uint8_t> header(gguf_get_meta_size(output.header.get()));
    gguf_get_meta_data(output.header.get(), header.data());
    file.write(header.data(), header.size());
    const size_t alignment = gguf_get_alignment(output.header.get());
    for (const TensorPlan * tensor : output.tensors) {
        if (progress.cancelled) {
            throw cancelled();
        }
        Converter(plan, *tensor, threads, progress).run(file);
        file.zeros(GGML_PAD(tensor->size, alignment) - tensor->size);
    }
    file.close();
}

} // namespace

std::vector<std::string> quantize(const QuantizePlan & plan, const std::string & target, const QuantizeParams & params,
                                  QuantizeProgress & progress) {
    progress.total = plan.source_bytes;
    check_plan(plan, params);
    const std::vector<Output> outputs =
        guarded(Errc::model_load, plan.sources.front(), [&] { return outputs_of(plan, target, params.keep_split); });
    check_target(plan, outputs);
    const int32_t threads =
        params.threads > 0 ? params.threads : static_cast<int32_t>(std::max(1U, std::thread::hardware_concurrency()));
    std::vector<PartialFile> files;
    for (const Output & output : outputs) {
        write(output, files.emplace_back(output.path), plan, threads, progress);
    }
    if (progress.cancelled) {
        throw cancelled();
    }
    std::vector<std::string> written;
    for (auto file = files.rbegin(); file != files.rend(); ++file) {
        file->publish(); // the first file of a split model last: what opens it finds all of it
        written.insert(written.begin(), file->path());
    }
    return written;
}

} // namespace mullama
