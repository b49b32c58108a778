// What configurations say about experts, latent attention and its indexer.
#include "models/weights/moe_config.h"

#include <fmt/format.h>

#include "models/weights/config_fields.h"

namespace pelton {
namespace {

constexpr UnsignedRange kExpertsRange{1, 1u << 16};
constexpr UnsignedRange kRankRange{1, 1u << 16};
constexpr UnsignedRange kTopRange{1, 1u << 20};
constexpr NumberRange kScaleRange{1e-6, 1e6};

// Checks that involve several of the values.
template <typename Fields>
Status CheckMoe(const Fields& fields, std::string_view top, std::string_view groups,
                const MoeConfig& moe) {
  if (moe.groups == 0 || moe.experts % moe.groups != 0) {
    return FieldError(fields.file(), fields.PathOf(groups), fmt::format("{}", moe.groups),
                      fmt::format("a divisor of the number of experts, {}", moe.experts));
  }
  const uint64_t open = uint64_t{moe.experts} / moe.groups * moe.top_groups;
  if (moe.top > open) {
    return FieldError(fields.file(), fields.PathOf(top), fmt::format("{}", moe.top),
                      fmt::format("at most {}, the experts that can be chosen", open));
  }
  return OkStatus();
}

// The layers with experts: from `first` on every `step`th, without those that are listed.
std::vector<bool> LayersFrom(uint32_t layers, uint32_t first, uint32_t step) {
  std::vector<bool> out(layers);
  for (uint32_t layer = 0; layer < layers; ++layer)
    out[layer] = layer >= first && layer % step == 0;
  return out;
}

Status ReadMixtral(const JsonFields& root, const ModelConfig& config, MoeConfig* moe) {
  RETURN_IF_ERROR(NeedUnsigned(root, "num_local_experts", kExpertsRange, &moe->experts));
  RETURN_IF_ERROR(NeedUnsigned(root, "num_experts_per_tok", {1, moe->experts}, &moe->top));
  moe->intermediate = config.intermediate;
  moe->normalise = true;
  moe->layers = LayersFrom(config.layers, 0, 1);
  return CheckMoe(root, "num_experts_per_tok", "num_local_experts", *moe);
}

Status ReadQwen3Moe(const JsonFields& root, const ModelConfig& config, MoeConfig* moe) {
  RETURN_IF_ERROR(NeedUnsigned(root, "num_experts", kExpertsRange, &moe->experts));
  RETURN_IF_ERROR(NeedUnsigned(root, "num_experts_per_tok", {1, moe->experts}, &moe->top));
  RETURN_IF_ERROR(
      NeedUnsigned(root, "moe_intermediate_size", kIntermediateRange, &moe->intermediate));
  RETURN_IF_ERROR(TakeBool(root, "norm_topk_prob", &moe->normalise));
  uint32_t step = 1;
  RETURN_IF_ERROR(TakeUnsigned(root, "decoder_sparse_step", kLayersRange, &step));
  moe->layers.assign(config.layers, false);
  for (uint32_t layer = 0; layer < config.layers; ++layer) {
    moe->layers[layer] = (layer + 1) % step == 0;
  }
  ASSIGN_OR_RETURN(const auto dense, root.Numbers("mlp_only_layers", 0, double{kLayersRange.max}));
  for (const double layer : dense.value_or(std::vector<double>())) {
    const auto index = static_cast<uint32_t>(layer);
    if (static_cast<double>(index) != layer || index >= config.layers) {
      return FieldError(config.file, "mlp_only_layers", fmt::format("{}", layer),
                        fmt::format("layers below {}", config.layers));
    }
    moe->layers[index] = false;
  }
  return CheckMoe(root, "num_experts_per_tok", "num_experts", *moe);
}

// Source: GptOssConfig of transformers. The softmax over the chosen logits is that over all of them
// with the chosen weights normalised.
Status ReadGptOss(const JsonFields& root, const ModelConfig& config, MoeConfig* moe) {
  RETURN_IF_ERROR(ReadMixtral(root, config, moe));
  moe->biases = true;
  return OkStatus();
}

// Sources: modeling_deepseek.py of the released checkpoints; configuration classes of transformers.
Status ReadDeepseek(const JsonFields& root, const ModelConfig& config, bool v3, MoeConfig* moe) {
  RETURN_IF_ERROR(NeedUnsigned(root, "n_routed_experts", kExpertsRange, &moe->experts));
  RETURN_IF_ERROR(NeedUnsigned(root, "num_experts_per_tok", {1, moe->experts}, &moe->top));
  RETURN_IF_ERROR(
      NeedUnsigned(root, "moe_intermediate_size", kIntermediateRange, &moe->intermediate));
  RETURN_IF_ERROR(TakeUnsigned(root, "n_shared_experts", {0, 1024}, &moe->shared));
  RETURN_IF_ERROR(TakeNumber(root, "routed_scaling_factor", kScaleRange, &moe->scale));
  uint32_t first = 0, step = 1;
  RETURN_IF_ERROR(TakeUnsigned(root, "first_k_dense_replace", {0, kLayersRange.max}, &first));
  RETURN_IF_ERROR(TakeUnsigned(root, "moe_layer_freq", kLayersRange, &step));
  moe->layers = LayersFrom(config.layers, first, step);

  const std::string expected_method = v3 ? "noaux_tc" : "greedy or group_limited_greedy";
  ASSIGN_OR_RETURN(const auto method, root.String("topk_method"));
  const std::string stated_method = method.value_or(v3 ? "noaux_tc" : "greedy");
  const bool known = v3 ? stated_method == "noaux_tc"
                        : stated_method == "greedy" || stated_method == "group_limited_greedy";
  if (!known) {
    return UnsupportedField(config.file, "topk_method", Quoted(stated_method), expected_method);
  }
  ASSIGN_OR_RETURN(const auto scoring, root.String("scoring_func"));
  const std::string_view expected_scoring = v3 ? "sigmoid" : "softmax";
  if (scoring && *scoring != expected_scoring) {
    return UnsupportedField(config.file, "scoring_func", Quoted(*scoring), expected_scoring);
  }
  moe->scoring = v3 ? MoeScoring::kSigmoid : MoeScoring::kSoftmax;
  moe->selection_bias = v3;
  // V2's reference never normalises, whatever norm_topk_prob says.
  if (v3) {
    moe->normalise = true;
    RETURN_IF_ERROR(TakeBool(root, "norm_topk_prob", &moe->normalise));
  }
  if (v3 || stated_method == "group_limited_greedy") {
    RETURN_IF_ERROR(TakeUnsigned(root, "n_group", {1, moe->experts}, &moe->groups));
    moe->top_groups = moe->groups;
    RETURN_IF_ERROR(TakeUnsigned(root, "topk_group", {1, moe->groups}, &moe->top_groups));
  }
  return CheckMoe(root, "num_experts_per_tok", "n_group", *moe);
}

// Source: the released config.json and inference code of DeepSeek-V4.
Status ReadDeepseek4(const JsonFields& root, const ModelConfig& config, MoeConfig* moe) {
  RETURN_IF_ERROR(NeedUnsigned(root, "n_routed_experts", kExpertsRange, &moe->experts));
  RETURN_IF_ERROR(NeedUnsigned(root, "num_experts_per_tok", {1, moe->experts}, &moe->top));
  moe->intermediate = config.intermediate;
  moe->shared = 1;
  RETURN_IF_ERROR(TakeUnsigned(root, "n_shared_experts", {1, 1}, &moe->shared));
  moe->scale = 1.5;
  RETURN_IF_ERROR(TakeNumber(root, "routed_scaling_factor", kScaleRange, &moe->scale));
  moe->layers = LayersFrom(config.layers, 0, 1);
  moe->hash_layers = 3;
  RETURN_IF_ERROR(TakeUnsigned(root, "num_hash_layers", {0, kLayersRange.max}, &moe->hash_layers));
  ASSIGN_OR_RETURN(const auto scoring, root.String("scoring_func"));
  if (scoring && *scoring != "sqrtsoftplus") {
    return UnsupportedField(config.file, "scoring_func", Quoted(*scoring), "sqrtsoftplus");
  }
  ASSIGN_OR_RETURN(const auto normalise, root.Bool("norm_topk_prob"));
  if (!normalise.value_or(true)) {
    return UnsupportedField(config.file, "norm_topk_prob", "false", "true");
  }
  moe->scoring = MoeScoring::kSqrtSoftplus;
  moe->selection_bias = moe->normalise = true;
  return OkStatus();
}

}  // namespace

Status ReadMoe(const JsonFields& root, const ArchitectureTraits& traits, ModelConfig* config) {
  if (traits.experts == ExpertRule::kNone) return OkStatus();
  MoeConfig moe;
  switch (traits.experts) {
    case ExpertRule::kNone:
    case ExpertRule::kGgufOnly:
      return OkStatus();
    case ExpertRule::kMixtral:
      RETURN_IF_ERROR(ReadMixtral(root, *config, &moe));
      break;
    case ExpertRule::kQwen3:
      RETURN_IF_ERROR(ReadQwen3Moe(root, *config, &moe));
      break;
    case ExpertRule::kDeepseek2:
      RETURN_IF_ERROR(ReadDeepseek(root, *config, false, &moe));
      break;
    case ExpertRule::kDeepseek3:
      RETURN_IF_ERROR(ReadDeepseek(root, *config, true, &moe));
      break;
    case ExpertRule::kDeepseek4:
      RETURN_IF_ERROR(ReadDeepseek4(root, *config, &moe));
      break;
    case ExpertRule::kGptOss:
      RETURN_IF_ERROR(ReadGptOss(root, *config, &moe));
      break;
  }
  config->moe = std::move(moe);
  return OkStatus();
}

Status ReadMoe(const GgufFields& model, const WeightSource& weights,
               const ArchitectureTraits& traits, ModelConfig* config) {
  uint32_t experts = 0;
  RETURN_IF_ERROR(TakeUnsigned(model, "expert_count", {0, kExpertsRange.max}, &experts));
  if (experts == 0) return OkStatus();
  if (traits.experts == ExpertRule::kNone) {
    return UnsupportedField(config->file, model.PathOf("expert_count"),
                            fmt::format("{} experts", experts),
                            "a model without experts of this architecture");
  }
  MoeConfig moe{.experts = experts};
  RETURN_IF_ERROR(NeedUnsigned(model, "expert_used_count", {1, experts}, &moe.top));
  moe.intermediate = config->intermediate;
  RETURN_IF_ERROR(
      TakeUnsigned(model, "expert_feed_forward_length", kIntermediateRange, &moe.intermediate));
  RETURN_IF_ERROR(TakeUnsigned(model, "expert_shared_count", {0, 1024}, &moe.shared));
  uint32_t first = 0;
  RETURN_IF_ERROR(TakeUnsigned(model, "leading_dense_block_count", {0, kLayersRange.max}, &first));
  moe.layers = LayersFrom(config->layers, first, 1);
  // llama.cpp normalises for all architectures but deepseek2, whose files say whether.
  const bool deepseek = traits.experts == ExpertRule::kDeepseek2;
  moe.normalise = !deepseek;
  if (deepseek) RETURN_IF_ERROR(TakeBool(model, "expert_weights_norm", &moe.normalise));
  RETURN_IF_ERROR(TakeNumber(model, "expert_weights_scale", {0, kScaleRange.max}, &moe.scale));
  if (moe.scale == 0) moe.scale = 1;  // as files of 2024 write "none"
  // Of all logits, of each, or of the chosen, which is the first with weights normalised.
  constexpr uint32_t kSoftmax = 1, kSigmoid = 2, kSoftmaxOfChosen = 3;
  uint32_t gating = 0;
  RETURN_IF_ERROR(TakeUnsigned(model, "expert_gating_func", {0, 255}, &gating));
  if (gating > kSoftmaxOfChosen) {
    return UnsupportedField(config->file, model.PathOf("expert_gating_func"),
                            fmt::format("{}", gating), "1 or 3 (softmax) or 2 (sigmoid)");
  }
  if (gating == 0) gating = kSoftmax;
  if (gating == kSoftmaxOfChosen) moe.normalise = true;
  moe.scoring = gating == kSigmoid ? MoeScoring::kSigmoid : MoeScoring::kSoftmax;
  RETURN_IF_ERROR(TakeUnsigned(model, "expert_group_count", {1, experts}, &moe.groups));
  moe.top_groups = moe.groups;
  RETURN_IF_ERROR(TakeUnsigned(model, "expert_group_used_count", {1, moe.groups}, &moe.top_groups));
  moe.selection_bias =
      weights.Find(fmt::format("blk.{}.exp_probs_b.bias", config->layers - 1)) != nullptr;
  moe.biases = weights.Find(fmt::format("blk.{}.ffn_gate_inp.bias", config->layers - 1)) != nullptr;
  RETURN_IF_ERROR(CheckMoe(model, "expert_used_count", "expert_group_count", moe));
  config->moe = std::move(moe);
  return OkStatus();
}

Status ReadMla(const JsonFields& root, ModelConfig* config) {
  MlaConfig mla;
  RETURN_IF_ERROR(TakeUnsigned(root, "q_lora_rank", kRankRange, &mla.q_rank));
  RETURN_IF_ERROR(NeedUnsigned(root, "kv_lora_rank", kHeadDimRange, &mla.kv_rank));
  RETURN_IF_ERROR(NeedUnsigned(root, "qk_nope_head_dim", kHeadDimRange, &mla.nope_dim));
  RETURN_IF_ERROR(NeedUnsigned(root, "qk_rope_head_dim", kHeadDimRange, &mla.rope_dim));
  RETURN_IF_ERROR(NeedUnsigned(root, "v_head_dim", kHeadDimRange, &mla.value_dim));
  config->head_dim = mla.nope_dim + mla.rope_dim;
  config->kv_heads = 1;
  config->mla = mla;
  return OkStatus();
}

Status ReadIndexer(const JsonFields& root, ModelConfig* config) {
  if (config->mla && config->mla->q_rank == 0) {
    return MissingField(root, "q_lora_rank", "the rank of queries");
  }
  const uint32_t rope_dim = config->mla ? config->mla->rope_dim : config->compressed->rope_dim;
  IndexerConfig indexer;
  RETURN_IF_ERROR(NeedUnsigned(root, "index_n_heads", kHeadsRange, &indexer.heads));
  // The lanes that turn are as many as those of the other keys.
  RETURN_IF_ERROR(
      NeedUnsigned(root, "index_head_dim", {rope_dim, kHeadDimRange.max}, &indexer.head_dim));
  RETURN_IF_ERROR(NeedUnsigned(root, "index_topk", kTopRange, &indexer.top));
  config->indexer = indexer;
  return OkStatus();
}

Status ReadMla(const GgufFields& model, ModelConfig* config) {
  MlaConfig mla;
  uint32_t q_rank = 0;
  RETURN_IF_ERROR(TakeUnsigned(model, "attention.q_lora_rank", {0, kRankRange.max}, &q_rank));
  mla.q_rank = q_rank;
  RETURN_IF_ERROR(NeedUnsigned(model, "attention.kv_lora_rank", kHeadDimRange, &mla.kv_rank));
  RETURN_IF_ERROR(NeedUnsigned(model, "rope.dimension_count", kHeadDimRange, &mla.rope_dim));
  // Files for llama.cpp's latent attention state the sizes of the cache as key_length and
  // value_length and those of heads with the ending _mla; older files state those of heads.
  uint32_t key = 0, value = 0;
  RETURN_IF_ERROR(TakeUnsigned(model, "attention.key_length", kHeadDimRange, &key));
  RETURN_IF_ERROR(TakeUnsigned(model, "attention.value_length", kHeadDimRange, &value));
  RETURN_IF_ERROR(TakeUnsigned(model, "attention.key_length_mla", kHeadDimRange, &key));
  RETURN_IF_ERROR(TakeUnsigned(model, "attention.value_length_mla", kHeadDimRange, &value));
  if (key <= mla.rope_dim || value == 0) {
    return FieldError(
        config->file, model.PathOf("attention.key_length_mla"),
        fmt::format("{} and values of {}", key, value),
        fmt::format("more than {}, the lanes that turn, and values of 1 or more", mla.rope_dim));
  }
  mla.nope_dim = key - mla.rope_dim;
  mla.value_dim = value;
  config->head_dim = key;
  config->kv_heads = 1;
  config->mla = mla;
  return OkStatus();
}

}  // namespace pelton
