// A file that appears under its name whole or not at all.
#pragma once

#include "error.hpp"

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>

namespace mullama {

class PartialFile {
  public:
    // Opens a file beside `path`, so that the rename cannot cross file systems. Every member throws
    // Error(code) with the system's reason (no space left, no permission, ...).
    explicit PartialFile(std::string path, Errc code = Errc::quantize);
    ~PartialFile(); // removes what was not published
    PartialFile(PartialFile && other) noexcept
        : code_(other.code_), path_(std::move(other.path_)), partial_(std::exchange(other.partial_, {})),
          file_(std::move(other.file_)) {}
    PartialFile & operator=(PartialFile &&) = delete;

    void write(const void * data, size_t n_bytes);
    void zeros(size_t n_bytes);
    void close();   // everything is on disk
    void publish(); // takes its name, replacing a file that has it

    const std::string & path() const { return path_; }

  private:
    struct Closer {
        void operator()(std::FILE * file) const { std::fclose(file); }
    };
    Error failure(const std::string & what) const;

    Errc code_;
    std::string path_;
    std::string partial_; // empty once published or moved from
    std::unique_ptr<std::FILE, Closer> file_;
};

} // namespace mullama
