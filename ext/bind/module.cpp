#include "bind.hpp"

NB_MODULE(_core, module) {
    using namespace mullama::bind;
    module.doc() = "Native core of mullama_media. Private: use mullama_media.engine.";
    bind_errors();
    bind_backend(module);
    bind_model(module);
    bind_grammar(module);
    bind_prompt(module);
    bind_sampling(module);
    bind_stream(module);
    bind_embedding(module);
    bind_engine(module);
    bind_quantize(module);
    bind_adapter(module);
    bind_ring(module);
    bind_playback(module);
}
