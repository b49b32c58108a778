// What config.json says about attention over compressed entries and about streams.
#include "models/weights/compressed_config.h"

#include <fmt/format.h>

#include "models/weights/config_fields.h"
#include "models/weights/moe_config.h"

namespace pelton {
namespace {

constexpr UnsignedRange kRatioRange{1, 1u << 16};
constexpr UnsignedRange kStreamsRange{1, 8};
constexpr UnsignedRange kRoundsRange{1, 1000};

// The release says by its ratio which layers' entries are chosen.
constexpr uint32_t kChosenRatio = 4;

Status ReadRatios(const JsonFields& root, const ModelConfig& config, CompressedConfig* out) {
  ASSIGN_OR_RETURN(const auto ratios, root.Numbers("compress_ratios", 0, double{kRatioRange.max}));
  // Layers that predict further tokens come last and are left out.
  if (!ratios || ratios->size() < config.layers) {
    return FieldError(config.file, "compress_ratios",
                      fmt::format("{} layers", ratios ? ratios->size() : 0),
                      fmt::format("{}, as num_hidden_layers says", config.layers));
  }
  for (uint32_t layer = 0; layer < config.layers; ++layer) {
    const auto ratio = static_cast<uint32_t>((*ratios)[layer]);
    if (static_cast<double>(ratio) != (*ratios)[layer]) {
      return FieldError(config.file, "compress_ratios", fmt::format("{}", (*ratios)[layer]),
                        "an integer");
    }
    out->ratios.push_back(ratio);
    out->chosen.push_back(ratio == kChosenRatio);
  }
  ASSIGN_OR_RETURN(const auto types, root.Strings("layer_types"));
  for (uint32_t layer = 0; types && layer < config.layers; ++layer) {
    const std::string_view expected = out->ratios[layer] == 0 ? "sliding_attention"
                                      : out->chosen[layer]    ? "compressed_sparse_attention"
                                                              : "heavily_compressed_attention";
    const std::string found = layer < types->size() ? (*types)[layer] : "";
    if (found == expected) continue;
    return UnsupportedField(
        config.file, "layer_types", Quoted(found),
        fmt::format("{} in layer {}, as compress_ratios says", expected, layer));
  }
  return OkStatus();
}

Status ReadYarn(const JsonFields& fields, const ModelConfig& config, RopeConfig* rope) {
  ASSIGN_OR_RETURN(const auto stated, fields.String("rope_type"));
  ASSIGN_OR_RETURN(const auto older, fields.String("type"));
  const std::string type = stated ? *stated : older.value_or("default");
  if (type == "default") return OkStatus();
  if (type != "yarn") {
    return UnsupportedField(config.file, fields.PathOf("rope_type"), Quoted(type),
                            "default or yarn");
  }
  rope->scaling = RopeScaling::kYarn;
  rope->original_context_tokens = config.max_positions;
  RETURN_IF_ERROR(NeedNumber(fields, "factor", kFactorRange, &rope->factor));
  RETURN_IF_ERROR(TakeUnsigned(fields, "original_max_position_embeddings", kPositionsRange,
                               &rope->original_context_tokens));
  RETURN_IF_ERROR(TakeNumber(fields, "beta_fast", kFactorRange, &rope->beta_fast));
  return TakeNumber(fields, "beta_slow", kFactorRange, &rope->beta_slow);
}

}  // namespace

Status ReadCompressed(const JsonFields& root, ModelConfig* config) {
  CompressedConfig out;
  RETURN_IF_ERROR(ReadRatios(root, *config, &out));
  RETURN_IF_ERROR(NeedUnsigned(root, "q_lora_rank", kHiddenRange, &out.q_rank));
  RETURN_IF_ERROR(NeedUnsigned(root, "qk_rope_head_dim", {1, config->head_dim}, &out.rope_dim));
  RETURN_IF_ERROR(NeedUnsigned(root, "o_groups", {1, config->heads}, &out.out_groups));
  RETURN_IF_ERROR(NeedUnsigned(root, "o_lora_rank", kHiddenRange, &out.out_rank));
  out.streams = 4;
  out.sinkhorn_rounds = 20;
  out.stream_epsilon = 1e-6;
  RETURN_IF_ERROR(TakeUnsigned(root, "hc_mult", kStreamsRange, &out.streams));
  RETURN_IF_ERROR(TakeUnsigned(root, "hc_sinkhorn_iters", kRoundsRange, &out.sinkhorn_rounds));
  RETURN_IF_ERROR(TakeNumber(root, "hc_eps", kEpsilonRange, &out.stream_epsilon));
  if (config->kv_heads != 1) {
    return UnsupportedField(config->file, "num_key_value_heads",
                            fmt::format("{}", config->kv_heads), "1, which all heads share");
  }
  if (config->heads % out.out_groups != 0) {
    return FieldError(config->file, "o_groups", fmt::format("{}", out.out_groups),
                      fmt::format("a divisor of {}, the heads", config->heads));
  }
  config->gate_limit = 10;
  RETURN_IF_ERROR(TakeNumber(root, "swiglu_limit", kCapRange, &config->gate_limit));
  config->compressed = std::move(out);
  return ReadIndexer(root, config);
}

Status ReadCompressedRope(const JsonFields& root, ModelConfig* config) {
  ASSIGN_OR_RETURN(auto parameters, root.Object("rope_parameters"));
  if (!parameters) {
    ASSIGN_OR_RETURN(parameters, root.Object("rope_scaling"));
  }
  RopeConfig& rope = config->rope;
  RopeConfig& local = config->local_rope.emplace();
  rope.dims = local.dims = config->compressed->rope_dim;
  rope.interleaved = local.interleaved = true;
  rope.theta = 160000;
  RETURN_IF_ERROR(TakeNumber(root, "compress_rope_theta", kThetaRange, &rope.theta));
  RETURN_IF_ERROR(TakeNumber(root, "rope_theta", kThetaRange, &local.theta));
  if (!parameters) return OkStatus();
  std::optional<JsonFields> main;
  if (parameters->Has("compress")) {
    ASSIGN_OR_RETURN(main, parameters->Object("main"));
    ASSIGN_OR_RETURN(parameters, parameters->Object("compress"));
    RETURN_IF_ERROR(TakeNumber(*parameters, "rope_theta", kThetaRange, &rope.theta));
  }
  if (main) RETURN_IF_ERROR(TakeNumber(*main, "rope_theta", kThetaRange, &local.theta));
  return ReadYarn(*parameters, *config, &rope);
}

}  // namespace pelton
