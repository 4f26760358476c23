#include "bell.hpp"

#include "error.hpp"

#include <cerrno>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/eventfd.h>
#endif

namespace mullama {

Bell::Bell() {
#ifdef __linux__
    read_ = write_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
#else
    int ends[2] = {-1, -1};
    if (pipe(ends) == 0) {
        for (const int end : ends) {
            fcntl(end, F_SETFL, O_NONBLOCK);
            fcntl(end, F_SETFD, FD_CLOEXEC);
        }
        read_ = ends[0];
        write_ = ends[1];
    }
#endif
    if (read_ < 0) {
        throw Error(Errc::decode, std::string("no file descriptor for an event loop: ") + std::strerror(errno), {},
                    "The process has too many files open");
    }
}

Bell::~Bell() {
    close(read_);
    if (write_ != read_) {
        close(write_);
    }
}

void Bell::add(uint64_t id) {
    const std::lock_guard lock(mutex_);
    ids_.push_back(id);
}

void Bell::ring() {
    {
        const std::lock_guard lock(mutex_);
        if (rung_ || ids_.empty()) {
            return;
        }
        rung_ = true;
    }
    const uint64_t one = 1; // a full pipe is as good as rung
    [[maybe_unused]] const auto written = write(write_, &one, sizeof(one));
}

std::vector<uint64_t> Bell::take() {
    uint64_t sink[8];
    [[maybe_unused]] const auto got = read(read_, sink, sizeof(sink));
    const std::lock_guard lock(mutex_);
    rung_ = false;
    return std::exchange(ids_, {});
}

} // namespace mullama
