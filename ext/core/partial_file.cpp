#include "partial_file.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>

#ifdef _WIN32
#include <io.h>
#include <process.h>
#else
#include <unistd.h>
#endif

namespace mullama {

namespace {

long process_id() {
#ifdef _WIN32
    return _getpid();
#else
    return static_cast<long>(getpid());
#endif
}

} // namespace

Error PartialFile::failure(const std::string & what) const {
    const int code = errno;
    return {code_, what + ": " + std::strerror(code), path_,
            code == ENOSPC ? "Free some space, or name another folder" : ""};
}

PartialFile::PartialFile(std::string path, Errc code) : code_(code), path_(std::move(path)) {
    static std::atomic<unsigned> serial{0};
    partial_ = path_ + "." + std::to_string(process_id()) + "-" + std::to_string(serial++) + ".partial";
    file_.reset(std::fopen(partial_.c_str(), "wb"));
    if (!file_) {
        const Error error = failure("it cannot be written");
        partial_.clear();
        throw error;
    }
}

PartialFile::~PartialFile() {
    file_.reset();
    if (!partial_.empty()) {
        std::error_code ignored;
        std::filesystem::remove(partial_, ignored);
    }
}

void PartialFile::write(const void * data, size_t n_bytes) {
    if (n_bytes > 0 && std::fwrite(data, 1, n_bytes, file_.get()) != n_bytes) {
        throw failure("writing failed");
    }
}

void PartialFile::zeros(size_t n_bytes) {
    static constexpr std::array<char, 4096> blank{};
    for (; n_bytes > 0; n_bytes -= std::min(n_bytes, blank.size())) {
        write(blank.data(), std::min(n_bytes, blank.size()));
    }
}

void PartialFile::close() {
    bool failed = std::fflush(file_.get()) != 0;
#ifndef _WIN32
    failed = failed || fsync(fileno(file_.get())) != 0;
#endif
    failed = std::fclose(file_.release()) != 0 || failed;
    if (failed) {
        throw failure("writing failed");
    }
}

void PartialFile::publish() {
    std::error_code error;
    std::filesystem::rename(partial_, path_, error);
    if (error) {
        throw Error(code_, "it cannot be given its name: " + error.message(), path_);
    }
    partial_.clear();
}

} // namespace mullama
