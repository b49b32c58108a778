#include <fmt/format.h>

#include <cmath>
#include <cstring>

#include "models/weights/config_fields.h"
#include "models/weights/gguf_fields.h"
#include "models/weights/moe_config.h"

namespace pelton {
namespace {

// Reads the metadata into a ModelConfig, one group of keys after another.
class GgufConfigReader {
 public:
  // `traits` and the fields belong together: `model` reads keys with the architecture's prefix,
  // `root` reads whole keys.
  GgufConfigReader(const GgufMetadata& metadata, const WeightSource& weights,
                   const ArchitectureTraits& traits, ModelConfig* config)
      : weights_(weights),
        traits_(traits),
        prefix_(std::string(traits.gguf_name) + "."),
        root_(metadata, "", config->file),
        model_(metadata, prefix_, config->file),
        config_(*config) {}

  Status Read() {
    config_.architecture = traits_.builder;
    config_.model_type = traits_.gguf_name;
    ASSIGN_OR_RETURN(const auto name, root_.String("general.name"));
    config_.name = name.value_or("");
    RETURN_IF_ERROR(ReadSizes());
    RETURN_IF_ERROR(ReadVocab());
    RETURN_IF_ERROR(ReadAttention());
    RETURN_IF_ERROR(ReadWindow());
    if (traits_.encoder) {
      RETURN_IF_ERROR(ReadEncoder());
    } else {
      RETURN_IF_ERROR(ReadRope());
      RETURN_IF_ERROR(ReadScales());
    }
    ReadTensorPresence();
    RETURN_IF_ERROR(ReadTokens());
    RETURN_IF_ERROR(ReadSampling());
    const std::string heads = model_.PathOf("attention.head_count");
    const std::string kv_heads = model_.PathOf("attention.head_count_kv");
    const std::string head_dim = model_.PathOf("attention.key_length");
    const std::string rope_dims = model_.PathOf("rope.dimension_count");
    const std::string bos = root_.PathOf("tokenizer.ggml.bos_token_id");
    const std::string eos = root_.PathOf("tokenizer.ggml.eos_token_id, eot_token_id, eom_token_id");
    return FinishConfig({.heads = heads,
                         .kv_heads = kv_heads,
                         .head_dim = head_dim,
                         .rope_dims = rope_dims,
                         .bos = bos,
                         .eos = eos},
                        &config_);
  }

 private:
  Status ReadSizes() {
    RETURN_IF_ERROR(NeedUnsigned(model_, "block_count", kLayersRange, &config_.layers));
    // The layers that predict further tokens are counted among the blocks.
    uint32_t further = 0;
    RETURN_IF_ERROR(
        TakeUnsigned(model_, "nextn_predict_layers", {0, config_.layers - 1}, &further));
    config_.layers -= further;
    RETURN_IF_ERROR(NeedUnsigned(model_, "embedding_length", kHiddenRange, &config_.hidden));
    RETURN_IF_ERROR(
        NeedUnsigned(model_, "feed_forward_length", kIntermediateRange, &config_.intermediate));
    RETURN_IF_ERROR(
        NeedUnsigned(model_, "context_length", kPositionsRange, &config_.max_positions));
    RETURN_IF_ERROR(NeedUnsigned(model_, "attention.head_count", kHeadsRange, &config_.heads));
    config_.kv_heads = config_.heads;
    RETURN_IF_ERROR(
        TakeUnsigned(model_, "attention.head_count_kv", {1, config_.heads}, &config_.kv_heads));
    RETURN_IF_ERROR(ReadMoe(model_, weights_, traits_, &config_));
    return traits_.has_mla ? ReadMla(model_, &config_) : ReadHeadDim();
  }

  Status ReadHeadDim() {
    RETURN_IF_ERROR(TakeUnsigned(model_, "attention.key_length", kHeadDimRange, &config_.head_dim));
    if (config_.head_dim == 0) {
      config_.head_dim = config_.hidden / config_.heads;
      if (config_.hidden % config_.heads != 0 || config_.head_dim > kHeadDimRange.max) {
        return FieldError(config_.file, model_.PathOf("embedding_length"),
                          fmt::format("{}", config_.hidden),
                          fmt::format("a multiple of attention.head_count, which is {}, of at "
                                      "most {} per head, as attention.key_length is not stated",
                                      config_.heads, kHeadDimRange.max));
      }
    }
    uint32_t value_dim = config_.head_dim;
    RETURN_IF_ERROR(TakeUnsigned(model_, "attention.value_length", kHeadDimRange, &value_dim));
    if (value_dim == config_.head_dim) return OkStatus();
    return UnsupportedField(config_.file, model_.PathOf("attention.value_length"),
                            fmt::format("{}", value_dim),
                            fmt::format("{}, the size of keys", config_.head_dim));
  }

  // The vocabulary's size is stated, or else the number of tokens; the embedding must agree.
  Status ReadVocab() {
    const GgufValue* tokens = root_.Find("tokenizer.ggml.tokens");
    if (tokens != nullptr) config_.vocab = static_cast<uint32_t>(tokens->strings().size());
    RETURN_IF_ERROR(TakeUnsigned(model_, "vocab_size", kVocabRange, &config_.vocab));
    if (config_.vocab == 0) {
      return MissingField(model_, "vocab_size",
                          fmt::format("an integer from {} to {}, or the list "
                                      "tokenizer.ggml.tokens",
                                      kVocabRange.min, kVocabRange.max));
    }
    const TensorInfo* embedding = weights_.Find("token_embd.weight");
    if (embedding == nullptr) return OkStatus();  // the builder says which tensors it misses
    if (embedding->rank == 2 && embedding->sizes[0] == config_.vocab &&
        embedding->sizes[1] == config_.hidden) {
      return OkStatus();
    }
    return FieldError(
        config_.file, "tensor \"token_embd.weight\"", "shape " + embedding->ShapeText(),
        fmt::format("[{}, {}], vocabulary and embedding length", config_.vocab, config_.hidden));
  }

  Status ReadAttention() {
    double query_scalar = config_.head_dim;
    // The two large Gemma models scale by hidden / heads, which their files do not say.
    const bool large_gemma2 = traits_.gguf_name == "gemma2" && config_.layers == 46;
    const bool large_gemma3 = traits_.gguf_name == "gemma3" && config_.layers == 62;
    if (large_gemma2 || large_gemma3)
      query_scalar = static_cast<double>(config_.hidden) / config_.heads;
    config_.attention_scale = 1 / std::sqrt(query_scalar);
    RETURN_IF_ERROR(TakeNumber(model_, "attention.scale", {1e-6, 1e3}, &config_.attention_scale));
    config_.attention_soft_cap = traits_.default_attention_cap;
    config_.final_soft_cap = traits_.default_final_cap;
    RETURN_IF_ERROR(
        TakeNumber(model_, "attn_logit_softcapping", {0, 1e6}, &config_.attention_soft_cap));
    return TakeNumber(model_, "final_logit_softcapping", {0, 1e6}, &config_.final_soft_cap);
  }

  Status ReadWindow() {
    config_.sliding_window = traits_.default_window;
    RETURN_IF_ERROR(TakeUnsigned(model_, "attention.sliding_window", {0, kPositionsRange.max},
                                 &config_.sliding_window));
    if (config_.sliding_window == 0) return OkStatus();
    const GgufValue* pattern = model_.Find("attention.sliding_window_pattern");
    if (pattern != nullptr && pattern->is_array()) return ListWindowedLayers(*pattern);
    uint32_t period = traits_.window_pattern;
    RETURN_IF_ERROR(
        TakeUnsigned(model_, "attention.sliding_window_pattern", {1, kLayersRange.max}, &period));
    for (uint32_t layer = 0; layer < config_.layers; ++layer) {
      config_.windowed_layers.push_back(period == 0 || (layer + 1) % period != 0);
    }
    return OkStatus();
  }

  Status ListWindowedLayers(const GgufValue& pattern) {
    const std::string field = model_.PathOf("attention.sliding_window_pattern");
    if (pattern.size() != config_.layers || !pattern.Bool(0)) {
      return FieldError(config_.file, field, pattern.Text(),
                        fmt::format("{} booleans, one per layer", config_.layers));
    }
    for (uint32_t layer = 0; layer < config_.layers; ++layer) {
      config_.windowed_layers.push_back(*pattern.Bool(layer));
    }
    return OkStatus();
  }

  Status ReadRope() {
    RopeConfig& rope = config_.rope;
    rope.theta = traits_.default_theta;
    rope.dims = config_.head_dim;
    rope.interleaved = traits_.gguf_interleaved;
    RETURN_IF_ERROR(TakeNumber(model_, "rope.freq_base", kThetaRange, &rope.theta));
    RETURN_IF_ERROR(TakeUnsigned(model_, "rope.dimension_count", kHeadDimRange, &rope.dims));
    if (traits_.local_theta != 0) {
      config_.local_rope = rope;
      config_.local_rope->theta = traits_.local_theta;
      RETURN_IF_ERROR(
          TakeNumber(model_, "rope.freq_base_swa", kThetaRange, &config_.local_rope->theta));
    }
    RETURN_IF_ERROR(ReadScaling(&rope));
    return ReadFactors("rope_freqs.weight", &rope.frequency_divisors);
  }

  Status ReadScaling(RopeConfig* rope) {
    RETURN_IF_ERROR(TakeUnsigned(model_, "rope.scaling.original_context_length", kPositionsRange,
                                 &rope->original_context_tokens));
    if (weights_.Find("rope_factors_long.weight") != nullptr) return ReadLongRope(rope);
    ASSIGN_OR_RETURN(const auto type, model_.String("rope.scaling.type"));
    // Files of 2023 state a linear factor by itself.
    RETURN_IF_ERROR(TakeNumber(model_, "rope.scale_linear", kFactorRange, &rope->factor));
    if (rope->factor != 1) rope->scaling = RopeScaling::kLinear;
    if (!type || *type == "none") return OkStatus();
    if (*type == "linear") {
      rope->scaling = RopeScaling::kLinear;
      return NeedNumber(model_, "rope.scaling.factor", kFactorRange, &rope->factor);
    }
    if (*type == "yarn") return ReadYarn(rope);
    if (*type == "longrope") {
      return FieldError(config_.file, "tensor \"rope_factors_long.weight\"", "nothing",
                        "the factors that rope.scaling.type longrope needs");
    }
    return UnsupportedField(config_.file, model_.PathOf("rope.scaling.type"), Quoted(*type),
                            "none, linear, yarn or longrope");
  }

  Status ReadYarn(RopeConfig* rope) {
    rope->scaling = RopeScaling::kYarn;
    if (rope->original_context_tokens == 0) rope->original_context_tokens = config_.max_positions;
    double stated = 1;
    RETURN_IF_ERROR(NeedNumber(model_, "rope.scaling.factor", kFactorRange, &rope->factor));
    RETURN_IF_ERROR(TakeNumber(model_, "rope.scaling.attn_factor", kFactorRange, &stated));
    RETURN_IF_ERROR(
        TakeNumber(model_, "rope.scaling.yarn_beta_fast", kFactorRange, &rope->beta_fast));
    RETURN_IF_ERROR(
        TakeNumber(model_, "rope.scaling.yarn_beta_slow", kFactorRange, &rope->beta_slow));
    rope->truncate = traits_.yarn_truncate;
    rope->attention_factor = stated * YarnAttentionFactor(rope->factor, 1);
    return config_.mla ? ReadMscale(rope) : OkStatus();
  }

  // DeepSeek's files state 0.1 * mscale_all_dim. mscale is the same in all of them, so that cos and
  // sin keep their size and the softmax is sharper.
  Status ReadMscale(RopeConfig* rope) {
    double multiplier = 0;
    RETURN_IF_ERROR(TakeNumber(model_, "rope.scaling.yarn_log_multiplier", {0, 100}, &multiplier));
    if (multiplier == 0) return OkStatus();
    rope->mscale_all_dim = multiplier * 10;
    rope->attention_factor = 1;
    const double sharper = YarnAttentionFactor(rope->factor, rope->mscale_all_dim);
    config_.attention_scale *= sharper * sharper;
    return OkStatus();
  }

  Status ReadLongRope(RopeConfig* rope) {
    rope->scaling = RopeScaling::kLongRope;
    if (rope->original_context_tokens < 2) {
      return FieldError(config_.file, model_.PathOf("rope.scaling.original_context_length"),
                        fmt::format("{}", rope->original_context_tokens),
                        fmt::format("an integer from 2 to {}", kPositionsRange.max));
    }
    RETURN_IF_ERROR(ReadFactors("rope_factors_short.weight", &rope->short_factors));
    RETURN_IF_ERROR(ReadFactors("rope_factors_long.weight", &rope->long_factors));
    rope->factor = static_cast<double>(config_.max_positions) /
                   static_cast<double>(rope->original_context_tokens);
    rope->attention_factor = LongRopeAttentionFactor(rope->factor, rope->original_context_tokens);
    return TakeNumber(model_, "rope.scaling.attn_factor", kFactorRange, &rope->attention_factor);
  }

  // The values of a small F32 vector; nothing if there is no such tensor.
  Status ReadFactors(std::string_view name, std::vector<float>* out) {
    const TensorInfo* tensor = weights_.Find(name);
    if (tensor == nullptr) return OkStatus();
    const std::string field = "tensor " + Quoted(name);
    if (tensor->dtype != DType::kF32 || tensor->rank != 1 || tensor->sizes[0] > kHeadDimRange.max) {
      return FieldError(config_.file, field,
                        fmt::format("{} {}", DTypeName(tensor->dtype), tensor->ShapeText()),
                        fmt::format("at most {} F32 values", kHeadDimRange.max));
    }
    out->resize(static_cast<size_t>(tensor->sizes[0]));
    std::memcpy(out->data(), tensor->data.data(), tensor->data.size());
    for (const float factor : *out) {
      if (!(factor >= kFactorRange.min && factor <= kFactorRange.max)) {
        return FieldError(config_.file, field, fmt::format("{}", factor),
                          fmt::format("numbers from {} to {}", kFactorRange.min, kFactorRange.max));
      }
    }
    return OkStatus();
  }

  Status ReadEncoder() {
    config_.encoder = true;
    config_.activation = Activation::kGeluErf;
    bool causal = false;
    RETURN_IF_ERROR(TakeBool(model_, "attention.causal", &causal));
    if (causal) {
      return UnsupportedField(config_.file, model_.PathOf("attention.causal"), "true", "false");
    }
    config_.token_types = 2;
    RETURN_IF_ERROR(TakeUnsigned(root_, "tokenizer.ggml.token_type_count", {1, kVocabRange.max},
                                 &config_.token_types));
    if (weights_.Find("cls.weight") != nullptr) {
      return UnsupportedField(config_.file, "tensor \"cls.weight\"", "a classifier",
                              "none in a GGUF file; a folder with safetensors may have one");
    }
    return NeedNumber(model_, "attention.layer_norm_epsilon", kEpsilonRange, &config_.rms_epsilon);
  }

  Status ReadScales() {
    RETURN_IF_ERROR(NeedNumber(model_, "attention.layer_norm_rms_epsilon", kEpsilonRange,
                               &config_.rms_epsilon));
    if (traits_.is_gemma) {
      config_.embedding_scale = std::sqrt(static_cast<double>(config_.hidden));
      config_.activation = Activation::kGeluTanh;
      config_.post_norms = true;
    }
    if (traits_.default_swiglu_limit != 0) {
      config_.activation = Activation::kSwigluOai;
      config_.gate_limit = traits_.default_swiglu_limit;
    }
    RETURN_IF_ERROR(TakeNumber(model_, "embedding_scale", {1e-6, 1e6}, &config_.embedding_scale));
    return TakeNumber(model_, "logit_scale", {1e-6, 1e6}, &config_.logit_scale);
  }

  void ReadTensorPresence() {
    config_.qkv_bias = weights_.Find("blk.0.attn_q.bias") != nullptr ||
                       weights_.Find("blk.0.attn_qkv.bias") != nullptr;
    config_.attention_output_bias = weights_.Find("blk.0.attn_output.bias") != nullptr;
    config_.attention_sinks = weights_.Find("blk.0.attn_sinks.weight") != nullptr;
    config_.mlp_bias = weights_.Find("blk.0.ffn_up.bias") != nullptr;
    config_.qk_norm = weights_.Find("blk.0.attn_q_norm.weight") != nullptr;
    config_.fused_qkv = weights_.Find("blk.0.attn_qkv.weight") != nullptr;
    config_.fused_gate_up = traits_.fused_weights;
    config_.tie_embeddings = weights_.Find("output.weight") == nullptr;
  }

  Status ReadTokens() {
    ASSIGN_OR_RETURN(const auto bos,
                     root_.Unsigned("tokenizer.ggml.bos_token_id", kIdRange.min, kIdRange.max));
    if (bos) config_.bos_id = static_cast<uint32_t>(*bos);
    for (const std::string_view name :
         {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id",
          "tokenizer.ggml.eom_token_id"}) {
      ASSIGN_OR_RETURN(const auto id, root_.Unsigned(name, kIdRange.min, kIdRange.max));
      if (id) config_.eos_ids.push_back(static_cast<uint32_t>(*id));
    }
    return OkStatus();
  }

  Status ReadSampling() {
    SamplingDefaults& sampling = config_.sampling;
    ASSIGN_OR_RETURN(sampling.temperature, root_.Number("general.sampling.temp", 0, 100));
    ASSIGN_OR_RETURN(sampling.top_p, root_.Number("general.sampling.top_p", 0, 1));
    ASSIGN_OR_RETURN(sampling.min_p, root_.Number("general.sampling.min_p", 0, 1));
    ASSIGN_OR_RETURN(sampling.top_k, root_.Unsigned("general.sampling.top_k", 0, kVocabRange.max));
    ASSIGN_OR_RETURN(sampling.repetition_penalty,
                     root_.Number("general.sampling.penalty_repeat", 0.01, 100));
    return OkStatus();
  }

  const WeightSource& weights_;
  const ArchitectureTraits& traits_;
  const std::string prefix_;
  const GgufFields root_;
  const GgufFields model_;
  ModelConfig& config_;
};

}  // namespace

Result<ModelConfig> ConfigFromGguf(const GgufMetadata& metadata, const WeightSource& weights,
                                   std::string_view file) {
  ModelConfig config;
  config.file = file;
  const GgufFields root(metadata, "", config.file);
  ASSIGN_OR_RETURN(const auto name, root.String("general.architecture"));
  if (!name) return MissingField(root, "general.architecture", "the name of an architecture");
  const ArchitectureTraits* traits = FindGgufArchitecture(*name);
  if (traits == nullptr) {
    return UnsupportedField(config.file, root.PathOf("general.architecture"), Quoted(*name),
                            "one of " + KnownArchitectures());
  }
  RETURN_IF_ERROR(GgufConfigReader(metadata, weights, *traits, &config).Read());
  return config;
}

}  // namespace pelton
