// Which fields of a Python options dataclass go into which field of a core struct: one line each.
// Defaults, ranges and docs live in Python alone. None leaves the core's "not set" value.
#pragma once

#include "embedding.hpp"
#include "engine.hpp"
#include "media.hpp"
#include "model.hpp"
#include "quantize.hpp"
#include "sampling.hpp"

namespace mullama::bind {

template <class T> struct Fields;

template <class T> inline constexpr bool is_options = requires { Fields<T>::name; };

template <> struct Fields<SamplingParams> {
    static constexpr const char * module = "mullama_media.engine.sampling";
    static constexpr const char * name = "SamplingParams";
    template <class F> static void visit(SamplingParams & to, F && field) {
        field("temperature", to.temperature);
        field("dynamic_temperature_range", to.dynamic_temperature_range);
        field("dynamic_temperature_exponent", to.dynamic_temperature_exponent);
        field("top_k", to.top_k);
        field("top_p", to.top_p);
        field("min_p", to.min_p);
        field("typical_p", to.typical_p);
        field("tfs_z", to.tfs_z);
        field("top_n_sigma", to.top_n_sigma);
        field("xtc_probability", to.xtc_probability);
        field("xtc_threshold", to.xtc_threshold);
        field("min_keep", to.min_keep);
        field("mirostat", to.mirostat);
        field("mirostat_tau", to.mirostat_tau);
        field("mirostat_eta", to.mirostat_eta);
        field("adaptive_p_target", to.adaptive_p_target);
        field("adaptive_p_decay", to.adaptive_p_decay);
        field("repeat_penalty", to.repeat_penalty);
        field("frequency_penalty", to.frequency_penalty);
        field("presence_penalty", to.presence_penalty);
        field("penalty_last_n", to.penalty_last_n);
        field("dry_multiplier", to.dry_multiplier);
        field("dry_base", to.dry_base);
        field("dry_allowed_length", to.dry_allowed_length);
        field("dry_penalty_last_n", to.dry_penalty_last_n);
        field("dry_sequence_breakers", to.dry_sequence_breakers);
        field("logit_bias", to.logit_bias);
        field("banned_strings", to.banned_strings);
        field("min_tokens", to.min_tokens);
        field("samplers", to.samplers);
        field("seed", to.seed);
        field("logprobs", to.logprobs);
    }
};

template <> struct Fields<Limits> {
    static constexpr const char * module = "mullama_media.engine.stream";
    static constexpr const char * name = "StreamConfig";
    template <class F> static void visit(Limits & to, F && field) {
        field("max_tokens", to.max_tokens);
        field("max_time_ms", to.max_time_ms);
        field("stop", to.stop);
        field("stop_tokens", to.stop_tokens);
        field("stop_regex", to.stop_regex);
        field("echo", to.echo);
        field("ignore_eos", to.ignore_eos);
        field("buffer_tokens", to.buffer_tokens);
        field("priority", to.priority);
        field("client", to.client);
        field("overflow", to.overflow);
    }
};

template <> struct Fields<ModelParams> {
    static constexpr const char * module = "mullama_media.engine.params";
    static constexpr const char * name = "ModelParams";
    template <class F> static void visit(ModelParams & to, F && field) {
        field("gpu_layers", to.gpu_layers);
        field("split_mode", to.split_mode);
        field("main_gpu", to.main_gpu);
        field("devices", to.devices);
        field("tensor_split", to.tensor_split);
        field("override_tensors", to.override_tensors);
        field("metadata_overrides", to.metadata_overrides);
        field("mmap", to.mmap);
        field("mlock", to.mlock);
        field("check_tensors", to.check_tensors);
        field("vocab_only", to.vocab_only);
        field("direct_io", to.direct_io);
        field("repack", to.repack);
        field("no_host", to.no_host);
        field("mtp", to.mtp);
        field("numa", to.numa);
    }
};

template <> struct Fields<MediaParams> {
    static constexpr const char * module = "mullama_media.engine.params";
    static constexpr const char * name = "MediaParams";
    template <class F> static void visit(MediaParams & to, F && field) {
        field("use_gpu", to.use_gpu);
        field("threads", to.threads);
        field("flash_attention", to.flash_attention);
        field("image_min_tokens", to.image_min_tokens);
        field("image_max_tokens", to.image_max_tokens);
    }
};

template <> struct Fields<ScoreParams> {
    static constexpr const char * module = "mullama_media.engine.embedding";
    static constexpr const char * name = "ScoreParams";
    template <class F> static void visit(ScoreParams & to, F && field) {
        field("truncate", to.truncate);
        field("max_time_ms", to.max_time_ms);
        field("priority", to.priority);
        field("client", to.client);
    }
};

template <> struct Fields<EmbeddingParams> {
    static constexpr const char * module = "mullama_media.engine.embedding";
    static constexpr const char * name = "EmbeddingParams";
    template <class F> static void visit(EmbeddingParams & to, F && field) {
        Fields<ScoreParams>::visit(to, field);
        field("pooling", to.pooling);
        field("normalize", to.normalize);
        field("dimensions", to.dimensions);
    }
};

template <> struct Fields<EngineParams> {
    static constexpr const char * module = "mullama_media.engine.params";
    static constexpr const char * name = "EngineParams";
    template <class F> static void visit(EngineParams & to, F && field) {
        field("n_ctx", to.n_ctx);
        field("n_parallel", to.n_parallel);
        field("n_batch", to.n_batch);
        field("n_ubatch", to.n_ubatch);
        field("prefill_chunk", to.prefill_chunk);
        field("max_queue", to.max_queue);
        field("reuse_prefix", to.reuse_prefix);
        field("pooling", to.pooling);
        field("media_cache_mb", to.media_cache_mb);
        field("speculative", to.speculative.kind);
        field("draft_max", to.speculative.draft_max);
        field("draft_p_min", to.speculative.draft_p_min);
        field("lookup_ngram", to.speculative.lookup_ngram);
        field("threads", to.threads);
        field("threads_batch", to.threads_batch);
        field("flash_attention", to.flash_attention);
        field("cache_type_k", to.cache_type_k);
        field("cache_type_v", to.cache_type_v);
        field("offload_kqv", to.offload_kqv);
        field("op_offload", to.op_offload);
        field("swa_full", to.swa_full);
        field("rope_scaling", to.rope_scaling);
        field("rope_freq_base", to.rope_freq_base);
        field("rope_freq_scale", to.rope_freq_scale);
        field("yarn_ext_factor", to.yarn_ext_factor);
        field("yarn_attn_factor", to.yarn_attn_factor);
        field("yarn_beta_fast", to.yarn_beta_fast);
        field("yarn_beta_slow", to.yarn_beta_slow);
        field("yarn_orig_ctx", to.yarn_orig_ctx);
    }
};

template <> struct Fields<QuantizeParams> {
    static constexpr const char * module = "mullama_media.engine.quantization";
    static constexpr const char * name = "QuantizeParams";
    template <class F> static void visit(QuantizeParams & to, F && field) {
        field("imatrix", to.imatrix);
        field("include_weights", to.include_weights);
        field("exclude_weights", to.exclude_weights);
        field("tensor_types", to.tensor_types);
        field("output_type", to.output_type);
        field("token_embedding_type", to.token_embedding_type);
        field("pure", to.pure);
        field("leave_output", to.leave_output);
        field("allow_requantize", to.allow_requantize);
        field("keep_split", to.keep_split);
        field("threads", to.threads);
    }
};

} // namespace mullama::bind
