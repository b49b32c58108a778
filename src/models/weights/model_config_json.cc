#include <fmt/format.h>

#include <cmath>

#include "models/weights/compressed_config.h"
#include "models/weights/config_fields.h"
#include "models/weights/json_fields.h"
#include "models/weights/moe_config.h"

namespace pelton {
namespace {

constexpr ConfigFieldNames kNames{.heads = "num_attention_heads",
                                  .kv_heads = "num_key_value_heads",
                                  .head_dim = "head_dim",
                                  .rope_dims = "head_dim and partial_rotary_factor",
                                  .bos = "bos_token_id",
                                  .eos = "eos_token_id"};

constexpr uint32_t kMostMtpLayers = 64;

// Appends the ids of a member that is an id or a list of ids.
Status ReadIds(const JsonFields& fields, std::string_view name, std::vector<uint32_t>* ids) {
  const auto value = fields.Find(name);
  if (!value) return OkStatus();
  if (!value->is_array()) {
    uint32_t id = 0;
    RETURN_IF_ERROR(NeedUnsigned(fields, name, kIdRange, &id));
    ids->push_back(id);
    return OkStatus();
  }
  ASSIGN_OR_RETURN(const auto numbers, fields.Numbers(name, 0, double{kIdRange.max}));
  for (const double number : numbers.value_or(std::vector<double>())) {
    const auto id = static_cast<uint32_t>(number);
    if (static_cast<double>(id) != number) {
      return FieldError(fields.file(), fields.PathOf(name), fmt::format("{}", number), "an id");
    }
    ids->push_back(id);
  }
  return OkStatus();
}

// Reads config.json into a ModelConfig, one group of members after another.
class JsonConfigReader {
 public:
  JsonConfigReader(const JsonFields& root, ModelConfig* config) : root_(root), config_(*config) {}

  Status Read() {
    RETURN_IF_ERROR(ReadArchitecture());
    RETURN_IF_ERROR(ReadSizes());
    if (traits_->has_compressed) RETURN_IF_ERROR(ReadCompressed(root_, &config_));
    RETURN_IF_ERROR(ReadMoe(root_, *traits_, &config_));
    RETURN_IF_ERROR(ReadAttention());
    RETURN_IF_ERROR(ReadWindow());
    if (config_.encoder) {
      RETURN_IF_ERROR(ReadEncoder());
    } else if (config_.compressed) {
      RETURN_IF_ERROR(ReadCompressedRope(root_, &config_));
    } else {
      RETURN_IF_ERROR(ReadRope());
    }
    RETURN_IF_ERROR(ReadRest());
    RETURN_IF_ERROR(ReadQuantization());
    return FinishConfig(kNames, &config_);
  }

 private:
  Status ReadArchitecture() {
    ASSIGN_OR_RETURN(const auto model_type, root_.String("model_type"));
    if (!model_type) return MissingField(root_, "model_type", "the name of an architecture");
    traits_ = FindModelType(*model_type);
    if (traits_ == nullptr) {
      return UnsupportedField(config_.file, "model_type", Quoted(*model_type),
                              "one of " + KnownArchitectures());
    }
    config_.architecture = traits_->builder;
    config_.model_type = *model_type;
    ASSIGN_OR_RETURN(const auto name, root_.String("_name_or_path"));
    config_.name = name.value_or("");
    config_.post_norms = traits_->is_gemma;
    config_.norm_weight_offset = traits_->is_gemma ? 1 : 0;
    config_.qk_norm = traits_->has_qk_norm;
    config_.fused_qkv = config_.fused_gate_up = traits_->fused_weights;
    config_.encoder = traits_->encoder;
    return OkStatus();
  }

  Status ReadSizes() {
    RETURN_IF_ERROR(NeedUnsigned(root_, "num_hidden_layers", kLayersRange, &config_.layers));
    RETURN_IF_ERROR(NeedUnsigned(root_, "hidden_size", kHiddenRange, &config_.hidden));
    RETURN_IF_ERROR(NeedUnsigned(root_, "num_attention_heads", kHeadsRange, &config_.heads));
    config_.kv_heads = config_.heads;
    RETURN_IF_ERROR(
        TakeUnsigned(root_, "num_key_value_heads", {1, config_.heads}, &config_.kv_heads));
    RETURN_IF_ERROR(
        NeedUnsigned(root_, traits_->has_compressed ? "moe_intermediate_size" : "intermediate_size",
                     kIntermediateRange, &config_.intermediate));
    RETURN_IF_ERROR(NeedUnsigned(root_, "vocab_size", kVocabRange, &config_.vocab));
    RETURN_IF_ERROR(
        NeedUnsigned(root_, "max_position_embeddings", kPositionsRange, &config_.max_positions));
    return ReadHeadDim();
  }

  Status ReadHeadDim() {
    if (traits_->has_mla) RETURN_IF_ERROR(ReadMla(root_, &config_));
    if (traits_->has_indexer) RETURN_IF_ERROR(ReadIndexer(root_, &config_));
    if (traits_->has_mla) {
      return TakeUnsigned(root_, "num_nextn_predict_layers", {0, kMostMtpLayers},
                          &config_.mtp_layers);
    }
    config_.head_dim = traits_->default_head_dim;
    RETURN_IF_ERROR(TakeUnsigned(root_, "head_dim", kHeadDimRange, &config_.head_dim));
    if (config_.head_dim != 0) return OkStatus();
    config_.head_dim = config_.hidden / config_.heads;
    if (config_.hidden % config_.heads != 0 || config_.head_dim > kHeadDimRange.max) {
      return FieldError(config_.file, "hidden_size", fmt::format("{}", config_.hidden),
                        fmt::format("a multiple of num_attention_heads, which is {}, of at most "
                                    "{} per head, as head_dim is not stated",
                                    config_.heads, kHeadDimRange.max));
    }
    return OkStatus();
  }

  Status ReadAttention() {
    bool bias = traits_->biased_by_default;
    if (traits_->model_type != "mistral" && traits_->model_type != "phi3") {
      RETURN_IF_ERROR(TakeBool(root_, "attention_bias", &bias));
    }
    config_.qkv_bias = bias || traits_->has_qkv_bias;
    config_.attention_output_bias = bias && !traits_->has_qkv_bias;
    ASSIGN_OR_RETURN(const auto both_ways, root_.Bool("use_bidirectional_attention"));
    if (both_ways.value_or(false)) {
      return UnsupportedField(config_.file, "use_bidirectional_attention", "true", "false");
    }
    double query_scalar = traits_->is_gemma ? 256 : config_.head_dim;
    if (traits_->is_gemma) {
      RETURN_IF_ERROR(TakeNumber(root_, "query_pre_attn_scalar", {1, 1e6}, &query_scalar));
    }
    config_.attention_scale = 1 / std::sqrt(query_scalar);
    if (traits_->has_mla) config_.rope.interleaved = true;
    config_.attention_sinks = traits_->has_sinks;
    RETURN_IF_ERROR(ReadCap("attn_logit_softcapping", traits_->default_attention_cap,
                            &config_.attention_soft_cap));
    return ReadCap("final_logit_softcapping", traits_->default_final_cap, &config_.final_soft_cap);
  }

  // Absent: the architecture's own value; null: none.
  Status ReadCap(std::string_view name, double default_cap, double* out) {
    if (!traits_->is_gemma) return OkStatus();
    *out = root_.States(name) ? 0 : default_cap;
    return TakeNumber(root_, name, kCapRange, out);
  }

  Status ReadWindow() {
    if (traits_->window_rule == WindowRule::kNever) return OkStatus();
    bool use = true;
    if (traits_->window_rule == WindowRule::kUpperLayers) {
      use = false;
      RETURN_IF_ERROR(TakeBool(root_, "use_sliding_window", &use));
    }
    if (!root_.States("sliding_window")) config_.sliding_window = traits_->default_window;
    RETURN_IF_ERROR(
        TakeUnsigned(root_, "sliding_window", kPositionsRange, &config_.sliding_window));
    if (!use || config_.sliding_window == 0) {
      config_.sliding_window = 0;
      return OkStatus();
    }
    if (config_.compressed) return RuleWindowedLayers();
    ASSIGN_OR_RETURN(const auto types, root_.Strings("layer_types"));
    return types ? ListWindowedLayers(*types) : RuleWindowedLayers();
  }

  Status ListWindowedLayers(const std::vector<std::string>& types) {
    if (types.size() != config_.layers) {
      return FieldError(config_.file, "layer_types", fmt::format("{} layers", types.size()),
                        fmt::format("{}, as num_hidden_layers says", config_.layers));
    }
    for (const std::string& type : types) {
      if (type != "sliding_attention" && type != "full_attention") {
        return UnsupportedField(config_.file, "layer_types", Quoted(type),
                                "sliding_attention or full_attention");
      }
      config_.windowed_layers.push_back(type == "sliding_attention");
    }
    return OkStatus();
  }

  Status RuleWindowedLayers() {
    uint32_t first = 0;
    uint32_t pattern = traits_->window_pattern;
    if (traits_->window_rule == WindowRule::kUpperLayers) {
      first = 28;  // transformers' default for max_window_layers
      RETURN_IF_ERROR(TakeUnsigned(root_, "max_window_layers", {0, kLayersRange.max}, &first));
    } else if (traits_->window_rule == WindowRule::kPattern) {
      RETURN_IF_ERROR(
          TakeUnsigned(root_, "sliding_window_pattern", {1, kLayersRange.max}, &pattern));
    }
    for (uint32_t layer = 0; layer < config_.layers; ++layer) {
      const bool full_in_pattern = pattern != 0 && (layer + 1) % pattern == 0;
      config_.windowed_layers.push_back(layer >= first && !full_in_pattern);
    }
    return OkStatus();
  }

  Status ReadRope() {
    ASSIGN_OR_RETURN(auto parameters, root_.Object("rope_parameters"));
    if (!parameters) {
      ASSIGN_OR_RETURN(parameters, root_.Object("rope_scaling"));
    }
    std::optional<JsonFields> local;
    if (parameters && parameters->Has("full_attention")) {
      ASSIGN_OR_RETURN(local, parameters->Object("sliding_attention"));
      ASSIGN_OR_RETURN(parameters, parameters->Object("full_attention"));
    }
    RETURN_IF_ERROR(ReadOneRope(parameters, "rope_theta", traits_->default_theta, &config_.rope));
    if (traits_->local_theta == 0) return OkStatus();
    config_.local_rope.emplace();
    return ReadOneRope(local, "rope_local_base_freq", traits_->local_theta, &*config_.local_rope);
  }

  Status ReadEncoder() {
    ASSIGN_OR_RETURN(const auto positions, root_.String("position_embedding_type"));
    if (positions && *positions != "absolute") {
      return UnsupportedField(config_.file, "position_embedding_type", Quoted(*positions),
                              "absolute");
    }
    ASSIGN_OR_RETURN(const auto decoder, root_.Bool("is_decoder"));
    if (decoder.value_or(false)) {
      return UnsupportedField(config_.file, "is_decoder", "true", "an encoder");
    }
    config_.token_types = 2;
    RETURN_IF_ERROR(
        TakeUnsigned(root_, "type_vocab_size", {1, kVocabRange.max}, &config_.token_types));
    ASSIGN_OR_RETURN(const auto classes, root_.Strings("architectures"));
    for (const std::string& name : classes.value_or(std::vector<std::string>())) {
      if (name.ends_with("ForSequenceClassification")) RETURN_IF_ERROR(ReadClasses());
    }
    return OkStatus();
  }

  // As transformers: the names of the classes count, num_labels where there are none, else two.
  Status ReadClasses() {
    config_.classes = 2;
    RETURN_IF_ERROR(TakeUnsigned(root_, "num_labels", kClassesRange, &config_.classes));
    ASSIGN_OR_RETURN(const auto names, root_.Object("id2label"));
    if (!names) return OkStatus();
    if (names->size() < kClassesRange.min || names->size() > kClassesRange.max) {
      return FieldError(config_.file, "id2label", fmt::format("{} names", names->size()),
                        fmt::format("{} to {}", kClassesRange.min, kClassesRange.max));
    }
    config_.classes = static_cast<uint32_t>(names->size());
    return OkStatus();
  }

  // `parameters` may state the base as rope_theta; the root states it as `theta_name`.
  Status ReadOneRope(const std::optional<JsonFields>& parameters, std::string_view theta_name,
                     double default_theta, RopeConfig* rope) {
    rope->theta = default_theta;
    RETURN_IF_ERROR(TakeNumber(root_, theta_name, kThetaRange, &rope->theta));
    double rotary = 1;
    RETURN_IF_ERROR(TakeNumber(root_, "partial_rotary_factor", {0, 1}, &rotary));
    if (parameters) {
      RETURN_IF_ERROR(TakeNumber(*parameters, "rope_theta", kThetaRange, &rope->theta));
      RETURN_IF_ERROR(TakeNumber(*parameters, "partial_rotary_factor", {0, 1}, &rotary));
    }
    rope->dims =
        config_.mla ? config_.mla->rope_dim : static_cast<uint32_t>(config_.head_dim * rotary);
    return parameters ? ReadScaling(*parameters, rope) : OkStatus();
  }

  Status ReadScaling(const JsonFields& fields, RopeConfig* rope) {
    ASSIGN_OR_RETURN(auto type, fields.String("rope_type"));
    if (!type) {
      ASSIGN_OR_RETURN(type, fields.String("type"));
    }
    if (!type || *type == "default") return OkStatus();
    if (*type == "linear") {
      rope->scaling = RopeScaling::kLinear;
      return NeedNumber(fields, "factor", kFactorRange, &rope->factor);
    }
    if (*type == "llama3") return ReadLlama3(fields, rope);
    if (*type == "yarn") return ReadYarn(fields, rope);
    if (*type == "longrope" || *type == "su") return ReadLongRope(fields, rope);
    return UnsupportedField(config_.file, fields.PathOf("rope_type"), Quoted(*type),
                            "default, linear, llama3, yarn or longrope");
  }

  Status ReadLlama3(const JsonFields& fields, RopeConfig* rope) {
    rope->scaling = RopeScaling::kLlama3;
    RETURN_IF_ERROR(NeedNumber(fields, "factor", kFactorRange, &rope->factor));
    RETURN_IF_ERROR(NeedNumber(fields, "low_freq_factor", kFactorRange, &rope->low_freq_factor));
    RETURN_IF_ERROR(NeedNumber(fields, "high_freq_factor", kFactorRange, &rope->high_freq_factor));
    return NeedUnsigned(fields, "original_max_position_embeddings", kPositionsRange,
                        &rope->original_context_tokens);
  }

  Status ReadYarn(const JsonFields& fields, RopeConfig* rope) {
    rope->scaling = RopeScaling::kYarn;
    rope->original_context_tokens = config_.max_positions;
    double mscale = 0;
    RETURN_IF_ERROR(NeedNumber(fields, "factor", kFactorRange, &rope->factor));
    RETURN_IF_ERROR(TakeUnsigned(fields, "original_max_position_embeddings", kPositionsRange,
                                 &rope->original_context_tokens));
    RETURN_IF_ERROR(TakeNumber(fields, "beta_fast", kFactorRange, &rope->beta_fast));
    RETURN_IF_ERROR(TakeNumber(fields, "beta_slow", kFactorRange, &rope->beta_slow));
    RETURN_IF_ERROR(TakeBool(fields, "truncate", &rope->truncate));
    RETURN_IF_ERROR(TakeNumber(fields, "mscale", {0, 1e3}, &mscale));
    RETURN_IF_ERROR(TakeNumber(fields, "mscale_all_dim", {0, 1e3}, &rope->mscale_all_dim));
    rope->attention_factor = mscale > 0 && rope->mscale_all_dim > 0
                                 ? YarnAttentionFactor(rope->factor, mscale) /
                                       YarnAttentionFactor(rope->factor, rope->mscale_all_dim)
                                 : YarnAttentionFactor(rope->factor, 1);
    // DeepSeek also sharpens the softmax for the longer context.
    if (config_.mla && rope->mscale_all_dim > 0) {
      const double sharper = YarnAttentionFactor(rope->factor, rope->mscale_all_dim);
      config_.attention_scale *= sharper * sharper;
    }
    return TakeNumber(fields, "attention_factor", kFactorRange, &rope->attention_factor);
  }

  Status ReadLongRope(const JsonFields& fields, RopeConfig* rope) {
    constexpr std::string_view kOriginal = "original_max_position_embeddings";
    constexpr UnsignedRange kRange{2, kPositionsRange.max};  // 1 would divide by ln(1)
    rope->scaling = RopeScaling::kLongRope;
    rope->original_context_tokens = config_.max_positions;
    RETURN_IF_ERROR(TakeUnsigned(fields, kOriginal, kRange, &rope->original_context_tokens));
    RETURN_IF_ERROR(TakeUnsigned(root_, kOriginal, kRange, &rope->original_context_tokens));
    if (rope->original_context_tokens < kRange.min) {
      return MissingField(fields, kOriginal,
                          fmt::format("an integer from {} to {}", kRange.min, kRange.max));
    }
    RETURN_IF_ERROR(ReadFactors(fields, "short_factor", &rope->short_factors));
    RETURN_IF_ERROR(ReadFactors(fields, "long_factor", &rope->long_factors));
    rope->factor = static_cast<double>(config_.max_positions) /
                   static_cast<double>(rope->original_context_tokens);
    if (!root_.Has(kOriginal)) {
      RETURN_IF_ERROR(TakeNumber(fields, "factor", kFactorRange, &rope->factor));
    }
    rope->attention_factor = LongRopeAttentionFactor(rope->factor, rope->original_context_tokens);
    return TakeNumber(fields, "attention_factor", kFactorRange, &rope->attention_factor);
  }

  Status ReadFactors(const JsonFields& fields, std::string_view name, std::vector<float>* out) {
    ASSIGN_OR_RETURN(const auto numbers, fields.Numbers(name, kFactorRange.min, kFactorRange.max));
    if (!numbers) return MissingField(fields, name, "an array of numbers");
    out->assign(numbers->begin(), numbers->end());
    return OkStatus();
  }

  Status ReadRest() {
    config_.rms_epsilon = 1e-6;
    if (config_.encoder) config_.rms_epsilon = 1e-12;
    RETURN_IF_ERROR(TakeNumber(root_, config_.encoder ? "layer_norm_eps" : "rms_norm_eps",
                               kEpsilonRange, &config_.rms_epsilon));
    if (traits_->is_gemma) config_.embedding_scale = std::sqrt(static_cast<double>(config_.hidden));
    if (traits_->model_type == "llama") {
      RETURN_IF_ERROR(TakeBool(root_, "mlp_bias", &config_.mlp_bias));
    }
    config_.tie_embeddings = traits_->tied_by_default;
    RETURN_IF_ERROR(TakeBool(root_, "tie_word_embeddings", &config_.tie_embeddings));
    RETURN_IF_ERROR(ReadActivation());
    ASSIGN_OR_RETURN(config_.bos_id, ReadBos());
    return ReadIds(root_, "eos_token_id", &config_.eos_ids);
  }

  Result<std::optional<uint32_t>> ReadBos() const {
    ASSIGN_OR_RETURN(const auto id, root_.Unsigned("bos_token_id", kIdRange.min, kIdRange.max));
    if (!id) return std::optional<uint32_t>();
    return std::optional(static_cast<uint32_t>(*id));
  }

  Status ReadActivation() {
    std::string_view field = "hidden_act";
    std::string activation = config_.encoder ? "gelu" : "silu";
    if (traits_->is_gemma) {
      field = "hidden_activation";
      activation = "gelu_pytorch_tanh";
    }
    ASSIGN_OR_RETURN(const auto stated, root_.String(field));
    if (stated) activation = *stated;
    if (activation == "silu" || activation == "swish") {
      config_.activation = Activation::kSilu;
    } else if (activation == "gelu_pytorch_tanh" || activation == "gelu_new") {
      config_.activation = Activation::kGeluTanh;
    } else if (activation == "gelu") {
      config_.activation = Activation::kGeluErf;
    } else {
      return UnsupportedField(config_.file, field, Quoted(activation),
                              "silu, gelu or gelu_pytorch_tanh");
    }
    if (traits_->default_swiglu_limit == 0) return OkStatus();
    config_.activation = Activation::kSwigluOai;
    config_.gate_limit = traits_->default_swiglu_limit;
    return TakeNumber(root_, "swiglu_limit", kCapRange, &config_.gate_limit);
  }

  Status ReadQuantization() {
    ASSIGN_OR_RETURN(const auto quantization, root_.Object("quantization_config"));
    if (!quantization) return OkStatus();
    ASSIGN_OR_RETURN(const auto method, quantization->String("quant_method"));
    if (method == "mxfp4") return OkStatus();  // seen by the names of tensors
    if (method != "fp8") {
      return UnsupportedField(config_.file, quantization->PathOf("quant_method"),
                              method ? Quoted(*method) : "nothing", "fp8 or mxfp4");
    }
    ASSIGN_OR_RETURN(const auto block, quantization->Numbers("weight_block_size", 1, 65536));
    if (!block || block->size() != 2) {
      return UnsupportedField(config_.file, quantization->PathOf("weight_block_size"),
                              block ? fmt::format("{} values", block->size()) : "nothing",
                              "the rows and columns of a block");
    }
    config_.fp8_block_rows = static_cast<uint32_t>((*block)[0]);
    config_.fp8_block_cols = static_cast<uint32_t>((*block)[1]);
    return OkStatus();
  }

  const JsonFields& root_;
  ModelConfig& config_;
  const ArchitectureTraits* traits_ = nullptr;
};

}  // namespace

Result<ModelConfig> ConfigFromJson(std::string_view text, std::string_view file) {
  ASSIGN_OR_RETURN(const JsonDocument document, JsonDocument::Parse(text, file));
  ASSIGN_OR_RETURN(const JsonFields root, JsonFields::Of(document.root(), file, ""));
  ModelConfig config;
  config.file = file;
  RETURN_IF_ERROR(JsonConfigReader(root, &config).Read());
  return config;
}

Status AddGenerationConfig(std::string_view text, std::string_view file, ModelConfig* config) {
  ASSIGN_OR_RETURN(const JsonDocument document, JsonDocument::Parse(text, file));
  ASSIGN_OR_RETURN(const JsonFields root, JsonFields::Of(document.root(), file, ""));
  RETURN_IF_ERROR(ReadIds(root, "eos_token_id", &config->eos_ids));
  RETURN_IF_ERROR(CheckEosIds(file, "eos_token_id", config->vocab, &config->eos_ids));
  SamplingDefaults& sampling = config->sampling;
  ASSIGN_OR_RETURN(sampling.sample, root.Bool("do_sample"));
  ASSIGN_OR_RETURN(sampling.temperature, root.Number("temperature", 0, 100));
  ASSIGN_OR_RETURN(sampling.top_p, root.Number("top_p", 0, 1));
  ASSIGN_OR_RETURN(sampling.min_p, root.Number("min_p", 0, 1));
  ASSIGN_OR_RETURN(sampling.top_k, root.Unsigned("top_k", 0, kVocabRange.max));
  ASSIGN_OR_RETURN(sampling.repetition_penalty, root.Number("repetition_penalty", 0.01, 100));
  return OkStatus();
}

}  // namespace pelton
