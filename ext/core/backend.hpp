// Process-wide set-up of llama.cpp and what it found on this machine.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace mullama {

struct Device {
    std::string name;        // "CPU", "CUDA0"
    std::string description; // "NVIDIA H100 80GB HBM3"
    std::string kind;        // "cpu", "gpu", "igpu", "accel"
    std::string backend;     // "CPU", "CUDA"
    uint64_t memory_free = 0;  // bytes
    uint64_t memory_total = 0; // bytes
};

// Loads the backends found in library_dir (ignored when they are linked in), picks the best CPU
// variant, and installs the log and abort handlers. Idempotent, thread-safe.
void init_backends(const std::string & library_dir);

std::vector<Device> devices();
std::vector<std::string> cpu_features(); // instruction sets the loaded CPU kernels use
int default_threads();                   // physical cores suited to arithmetic, of those the process may use

} // namespace mullama
