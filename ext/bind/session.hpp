// Sessions and saved states are methods of the engine; engine.cpp calls this.
#pragma once

#include "bind.hpp"
#include "engine.hpp"

namespace mullama::bind {

void bind_session(nb::module_ & module, nb::class_<Engine> & engine);

} // namespace mullama::bind
