// Losses that a device does not report, found by comparing its clock with the number of frames.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

namespace mullama {

// Fed with the time of the first frame of every buffer. Pure arithmetic; knows no clock.
//
// lateness = (time - time of the first buffer) * rate - frames so far: how many frames the device's
// clock is ahead of the count. Buffers that are handed over late make single values too large, never
// all of them, so only the least of each second counts. It may move by the error of a crystal; when it
// jumps by more than kStepMs for a whole second, that many frames were lost.
class Drift {
  public:
    static constexpr double kStepMs = 60;
    static constexpr double kSlew = 1e-3; // of the time passed: more than any sound card is off

    explicit Drift(double sample_rate) : rate_(sample_rate) {}

    // The next buffer begins a new count (a stream was opened).
    void restart() { *this = Drift(rate_); }

    // A buffer of `frames` whose first was sampled at `time` seconds. Returns the frames lost before it.
    uint64_t observe(double time, uint64_t frames) {
        if (!(time > 0) || !std::isfinite(time)) {
            return 0; // this host API tells no times
        }
        if (!started_) {
            started_ = true;
            first_time_ = window_start_ = time;
        }
        now_ = (time - first_time_) * rate_ - static_cast<double>(count_);
        least_ = std::min(least_, now_);
        count_ += frames;
        return time - window_start_ >= 1 ? close_window(time) : 0;
    }

    // The device says that it lost frames before the buffer seen last; how many, as its clock says.
    uint64_t flagged() {
        const double step = now_ - base_;
        if (!started_ || !has_base_ || step < 1) {
            return 0;
        }
        return accept(step);
    }

    double frames() const { return now_; }

  private:
    uint64_t close_window(double time) {
        const double step = least_ - base_;
        const double slew = kSlew * (time - window_start_) * rate_;
        window_start_ = time;
        least_ = std::numeric_limits<double>::infinity();
        if (!has_base_) {
            has_base_ = true;
            base_ += step;
            return 0;
        }
        if (step > kStepMs * 1e-3 * rate_) {
            return accept(step);
        }
        base_ = std::max(base_ + step, base_ - slew);
        return 0;
    }

    uint64_t accept(double step) {
        const auto lost = static_cast<uint64_t>(std::llround(step));
        count_ += lost;
        now_ -= static_cast<double>(lost);
        least_ = std::numeric_limits<double>::infinity();
        return lost;
    }

    double rate_;
    bool started_ = false;
    bool has_base_ = false;
    double first_time_ = 0;
    double window_start_ = 0;
    double now_ = 0;
    double base_ = 0; // the lateness that is normal
    double least_ = std::numeric_limits<double>::infinity();
    uint64_t count_ = 0;
};

} // namespace mullama
