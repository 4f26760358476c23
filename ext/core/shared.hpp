// What Python and the engine's thread both hold.
#pragma once

#include <memory>

namespace mullama {

// The binding finds the count of such an object again, so that whoever drops it last, the engine's
// thread as well, needs no interpreter lock. Make them with make_shared.
template <class T> using Shared = std::enable_shared_from_this<T>;

} // namespace mullama
