// media.cpp alone includes mtmd.h; this is its log hook for log.cpp.
#pragma once

#include "ggml.h"

namespace mullama {

void set_mtmd_log(ggml_log_callback callback);

} // namespace mullama
