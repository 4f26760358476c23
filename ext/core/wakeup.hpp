// Waking a waiting thread from one that must never wait itself.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>

#if defined(__linux__)
#include <climits>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace mullama {

// An event counter with a sleeping side.
//
// notify() is two atomic operations, and one FUTEX_WAKE if somebody sleeps: a system call that takes no
// lock of ours, never blocks and does not allocate, as POSIX asks of sem_post in a signal handler. An
// audio callback may call it. Elsewhere than on Linux the waiting side looks every millisecond instead,
// and notify() makes no system call at all.
//
// No wake-up is lost: a waiter announces itself, then asks `ready` again, then sleeps only while the
// word is what it was before it asked; a notifier changes the word, then looks for waiters. Both orders
// are sequentially consistent, so one of the two sees the other.
class Wakeup {
  public:
    void notify() noexcept {
        word_.fetch_add(1);
#if defined(__linux__)
        if (waiting_.load() != 0) {
            syscall(SYS_futex, &word_, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
        }
#endif
    }

    // Sleeps until `ready()` or the timeout; whether it is ready. May also return early and false after
    // a notify() that made nothing ready.
    template <class Ready> bool wait(const Ready & ready, std::chrono::microseconds timeout) {
        if (ready() || timeout.count() <= 0) {
            return ready();
        }
#if defined(__linux__)
        waiting_.fetch_add(1);
        const uint32_t seen = word_.load();
        if (!ready()) {
            timespec limit{};
            limit.tv_sec = static_cast<time_t>(timeout.count() / 1'000'000);
            limit.tv_nsec = static_cast<decltype(limit.tv_nsec)>(timeout.count() % 1'000'000 * 1000);
            syscall(SYS_futex, &word_, FUTEX_WAIT_PRIVATE, seen, &limit, nullptr, 0);
        }
        waiting_.fetch_sub(1);
#else
        const auto end = std::chrono::steady_clock::now() + timeout;
        const uint32_t seen = word_.load();
        while (!ready() && word_.load() == seen && std::chrono::steady_clock::now() < end) {
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
#endif
        return ready();
    }

  private:
    std::atomic<uint32_t> word_{0};
    std::atomic<uint32_t> waiting_{0};
    static_assert(sizeof(std::atomic<uint32_t>) == 4 && std::atomic<uint32_t>::is_always_lock_free);
};

} // namespace mullama
