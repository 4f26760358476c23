// One function per binding file; module.cpp calls them.
#pragma once

#include "casters.hpp"

namespace mullama::bind {

void bind_errors();
void bind_backend(nb::module_ & module);
void bind_model(nb::module_ & module);
void bind_grammar(nb::module_ & module);
void bind_prompt(nb::module_ & module);
void bind_sampling(nb::module_ & module);
void bind_stream(nb::module_ & module);
void bind_embedding(nb::module_ & module);
void bind_engine(nb::module_ & module);
void bind_quantize(nb::module_ & module);
void bind_adapter(nb::module_ & module);
void bind_ring(nb::module_ & module);
void bind_playback(nb::module_ & module);

} // namespace mullama::bind
