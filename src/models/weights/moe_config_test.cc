// Experts and latent attention in config.json and in GGUF.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "models/weights/config_checks.h"
#include "models/weights/file_images.h"
#include "models/weights/gguf.h"
#include "models/weights/model_config.h"

namespace pelton {
namespace {

using test::Accept;
using test::AsBytes;
using test::GgufWriter;
using test::Refuse;
using test::TinyDeepseek2Gguf;

std::string MoeJson(std::string_view model_type, std::string_view more) {
  return "{\"model_type\":\"" + std::string(model_type) +
         R"(","hidden_size":64,"intermediate_size":96,"num_hidden_layers":4,)"
         R"("num_attention_heads":8,"vocab_size":100,"max_position_embeddings":256)" +
         std::string(more) + "}";
}

constexpr std::string_view kMixtral = R"(,"num_local_experts":8,"num_experts_per_tok":2)";
constexpr std::string_view kQwen =
    R"(,"num_experts":12,"num_experts_per_tok":3,"moe_intermediate_size":32)";
constexpr std::string_view kDeepseek =
    R"(,"n_routed_experts":8,"num_experts_per_tok":3,"moe_intermediate_size":32,)"
    R"("n_shared_experts":2,"first_k_dense_replace":1,"kv_lora_rank":16,"qk_nope_head_dim":12,)"
    R"("qk_rope_head_dim":4,"v_head_dim":10)";

std::string With(std::string_view base, std::string_view more) {
  return std::string(base) + std::string(more);
}

TEST(MoeConfigTest, Mixtral) {
  const ModelConfig config = Accept(MoeJson("mixtral", kMixtral));
  EXPECT_EQ(config.architecture, "llama");
  ASSERT_TRUE(config.moe);
  EXPECT_EQ(config.moe->experts, 8u);
  EXPECT_EQ(config.moe->top, 2u);
  EXPECT_EQ(config.moe->intermediate, 96u);
  EXPECT_TRUE(config.moe->normalise);
  EXPECT_EQ(config.moe->layers, std::vector<bool>(4, true));
  EXPECT_FALSE(config.mla);
  EXPECT_FALSE(Accept(MoeJson("llama", "")).moe);
}

TEST(MoeConfigTest, QwenMayHaveDenseLayers) {
  const ModelConfig all = Accept(MoeJson("qwen3_moe", kQwen));
  ASSERT_TRUE(all.moe);
  EXPECT_FALSE(all.moe->normalise);
  EXPECT_EQ(all.moe->intermediate, 32u);
  const ModelConfig some = Accept(MoeJson(
      "qwen3_moe",
      With(kQwen, R"(,"norm_topk_prob":true,"decoder_sparse_step":2,"mlp_only_layers":[3])")));
  EXPECT_TRUE(some.moe->normalise);
  EXPECT_EQ(some.moe->layers, (std::vector<bool>{false, true, false, false}));
  EXPECT_NE(Refuse(MoeJson("qwen3_moe", With(kQwen, R"(,"mlp_only_layers":[4])")))
                .find("mlp_only_layers"),
            std::string::npos);
}

TEST(MoeConfigTest, DeepseekV2) {
  const ModelConfig config = Accept(MoeJson("deepseek_v2", kDeepseek));
  EXPECT_EQ(config.architecture, "deepseek2");
  ASSERT_TRUE(config.moe && config.mla);
  EXPECT_EQ(config.moe->scoring, MoeScoring::kSoftmax);
  EXPECT_FALSE(config.moe->normalise);
  EXPECT_FALSE(config.moe->selection_bias);
  EXPECT_EQ(config.moe->shared, 2u);
  EXPECT_EQ(config.moe->layers, (std::vector<bool>{false, true, true, true}));
  EXPECT_EQ(config.mla->q_rank, 0u);
  EXPECT_EQ(config.mla->kv_rank, 16u);
  EXPECT_EQ(config.mla->value_dim, 10u);
  EXPECT_EQ(config.head_dim, 16u);
  EXPECT_EQ(config.kv_heads, 1u);
  EXPECT_EQ(config.rope.dims, 4u);
  EXPECT_TRUE(config.rope.interleaved);
  EXPECT_DOUBLE_EQ(config.attention_scale, 0.25);

  const ModelConfig grouped = Accept(MoeJson(
      "deepseek_v2",
      With(kDeepseek,
           R"(,"topk_method":"group_limited_greedy","n_group":4,"topk_group":2,"q_lora_rank":24,)"
           R"("norm_topk_prob":true,"routed_scaling_factor":16.0)")));
  EXPECT_EQ(grouped.moe->groups, 4u);
  EXPECT_EQ(grouped.moe->top_groups, 2u);
  EXPECT_EQ(grouped.moe->scale, 16);
  EXPECT_FALSE(grouped.moe->normalise);
  EXPECT_EQ(grouped.mla->q_rank, 24u);
}

TEST(MoeConfigTest, DeepseekV3) {
  const ModelConfig config = Accept(MoeJson(
      "deepseek_v3", With(kDeepseek, R"(,"n_group":2,"topk_group":1,"norm_topk_prob":true,)"
                                     R"("scoring_func":"sigmoid","topk_method":"noaux_tc")")));
  EXPECT_EQ(config.architecture, "deepseek2");
  EXPECT_EQ(config.moe->scoring, MoeScoring::kSigmoid);
  EXPECT_TRUE(config.moe->selection_bias);
  EXPECT_TRUE(config.moe->normalise);
  EXPECT_EQ(config.moe->groups, 2u);
  EXPECT_EQ(config.moe->top_groups, 1u);
  EXPECT_EQ(config.mtp_layers, 0u);
  const auto further = [](std::string_view count) {
    return MoeJson("deepseek_v3",
                   With(kDeepseek, fmt::format(R"(,"num_nextn_predict_layers":{})", count)));
  };
  EXPECT_EQ(Accept(further("1")).mtp_layers, 1u);
  EXPECT_NE(Refuse(further("65")).find("num_nextn_predict_layers"), std::string::npos);
}

TEST(MoeConfigTest, YarnSharpensTheSoftmaxOfLatentAttention) {
  const ModelConfig config = Accept(
      MoeJson("deepseek_v3",
              With(kDeepseek, R"(,"rope_scaling":{"type":"yarn","factor":40,"mscale":1.0,)"
                              R"("mscale_all_dim":1.0,"original_max_position_embeddings":64})")));
  const double sharper = 0.1 * std::log(40.0) + 1;
  EXPECT_DOUBLE_EQ(config.attention_scale, 0.25 * sharper * sharper);
  EXPECT_DOUBLE_EQ(config.rope.attention_factor, 1);
}

TEST(MoeConfigTest, WhatDoesNotFitIsNamed) {
  const auto names = [](const std::string& message, std::string_view field) {
    EXPECT_NE(message.find(field), std::string::npos) << message;
  };
  names(Refuse(MoeJson("mixtral", R"(,"num_experts_per_tok":2)")), "num_local_experts");
  names(Refuse(MoeJson("mixtral", R"(,"num_local_experts":8,"num_experts_per_tok":9)")),
        "num_experts_per_tok");
  names(Refuse(MoeJson("qwen3_moe", R"(,"num_experts":4,"num_experts_per_tok":2)")),
        "moe_intermediate_size");
  names(Refuse(MoeJson("deepseek_v3", With(kDeepseek, R"(,"n_group":3)"))), "n_group");
  names(Refuse(MoeJson("deepseek_v3", With(kDeepseek, R"(,"n_group":8,"topk_group":2)"))),
        "num_experts_per_tok");
  names(Refuse(MoeJson("deepseek_v2", With(kDeepseek, R"(,"topk_method":"noaux_tc")")),
               StatusCode::kUnimplemented),
        "topk_method");
  names(Refuse(MoeJson("deepseek_v3", With(kDeepseek, R"(,"scoring_func":"softmax")")),
               StatusCode::kUnimplemented),
        "scoring_func");
  names(Refuse(MoeJson("deepseek_v2", R"(,"n_routed_experts":8,"num_experts_per_tok":3)")),
        "kv_lora_rank");
  names(Refuse(MoeJson("deepseek_v2", With(kDeepseek, R"(,"q_lora_rank":-1)"))), "q_lora_rank");
  names(Refuse(MoeJson("deepseek_v2", With(kDeepseek, R"(,"rope_theta":0)"))), "rope_theta");
}

TEST(MoeConfigTest, OddRotaryLanesAreRefused) {
  std::string odd(kDeepseek);
  odd.replace(odd.find("\"qk_rope_head_dim\":4"), 20, "\"qk_rope_head_dim\":5");
  EXPECT_NE(Refuse(MoeJson("deepseek_v2", odd)).find("lanes that turn"), std::string::npos);
}

// GGUF metadata without tensors: what is not read from them.
Result<ModelConfig> FromGguf(const GgufWriter& writer) {
  const std::string bytes = writer.Build();
  auto parsed = ParseGguf(AsBytes(bytes), "tiny.gguf");
  EXPECT_TRUE(parsed.ok()) << parsed.status().message();
  auto source = WeightSource::Create({.format = WeightFormat::kGguf,
                                      .files = {},
                                      .name_storage = {},
                                      .tensors = std::move(parsed->tensors)});
  EXPECT_TRUE(source.ok());
  return ConfigFromGguf(parsed->metadata, *source, "tiny.gguf");
}

TEST(MoeConfigTest, Gguf) {
  const auto config = FromGguf(TinyDeepseek2Gguf());
  ASSERT_TRUE(config.ok()) << config.status().message();
  ASSERT_TRUE(config->moe && config->mla);
  EXPECT_EQ(config->moe->experts, 8u);
  EXPECT_EQ(config->moe->top, 3u);
  EXPECT_EQ(config->moe->intermediate, 32u);
  EXPECT_EQ(config->moe->scoring, MoeScoring::kSigmoid);
  EXPECT_TRUE(config->moe->normalise);
  EXPECT_EQ(config->moe->scale, 2.5);
  EXPECT_EQ(config->moe->layers, (std::vector<bool>{false, true, true, true}));
  EXPECT_EQ(config->mla->kv_rank, 16u);
  EXPECT_EQ(config->mla->nope_dim, 12u);
  EXPECT_EQ(config->mla->rope_dim, 4u);
  EXPECT_EQ(config->mla->value_dim, 10u);
  EXPECT_EQ(config->head_dim, 16u);
}

TEST(MoeConfigTest, ArchitecturesWithoutExpertsHaveNone) {
  GgufWriter writer;
  writer.String("general.architecture", "gemma2");
  for (const char* key : {"block_count", "embedding_length", "feed_forward_length",
                          "context_length", "attention.head_count", "expert_count"}) {
    writer.U32("gemma2." + std::string(key), 8);
  }
  const auto config = FromGguf(writer);
  ASSERT_FALSE(config.ok());
  EXPECT_EQ(config.status().code(), StatusCode::kUnimplemented);
  EXPECT_NE(config.status().message().find("gemma2.expert_count"), std::string::npos);
}

std::string Deepseek4(std::string_view more) {
  return R"({"model_type":"deepseek_v4","hidden_size":64,"num_hidden_layers":3,"head_dim":32,)"
         R"("num_attention_heads":8,"num_key_value_heads":1,"vocab_size":100,)"
         R"("max_position_embeddings":256,"qk_rope_head_dim":8,"q_lora_rank":16,"o_groups":2,)"
         R"("o_lora_rank":12,"n_routed_experts":8,"num_experts_per_tok":3,)"
         R"("moe_intermediate_size":32,"index_n_heads":4,"index_head_dim":16,"index_topk":8)" +
         std::string(more) + "}";
}

TEST(MoeConfigTest, Deepseek4TakesItsReleasesValues) {
  const ModelConfig config = Accept(Deepseek4(R"(,"compress_ratios":[0,4,128,0])"));
  ASSERT_TRUE(config.compressed && config.indexer && config.moe);
  EXPECT_EQ(config.compressed->ratios, (std::vector<uint32_t>{0, 4, 128}));
  EXPECT_EQ(config.compressed->sinkhorn_rounds, 20u);
  EXPECT_EQ(config.sliding_window, 128u);
  EXPECT_EQ(config.intermediate, 32u);
  EXPECT_EQ(config.moe->hash_layers, 3u);
  EXPECT_EQ(config.moe->scale, 1.5);
  EXPECT_EQ(config.gate_limit, 10);
  EXPECT_TRUE(config.attention_sinks);
  EXPECT_EQ(config.rope.dims, 8u);
}

TEST(MoeConfigTest, WhatDeepseek4CannotBeIsRefused) {
  const std::string ratios = R"(,"compress_ratios":[0,4,128])";
  const auto names = [](const std::string& message, std::string_view field) {
    EXPECT_NE(message.find(field), std::string::npos) << message;
  };
  names(Refuse(Deepseek4(R"(,"compress_ratios":[0,4])")), "compress_ratios");
  names(Refuse(Deepseek4(R"(,"compress_ratios":[0,4.5,8])")), "compress_ratios");
  names(Refuse(Deepseek4("")), "compress_ratios");
  names(Refuse(Deepseek4(ratios + R"(,"hc_mult":9)")), "hc_mult");
  constexpr StatusCode kUnimplemented = StatusCode::kUnimplemented;
  names(Refuse(Deepseek4(ratios + R"(,"layer_types":["sliding_attention"])"), kUnimplemented),
        "layer_types");
  names(Refuse(Deepseek4(ratios + R"(,"scoring_func":"sigmoid")"), kUnimplemented), "scoring_func");
  names(Refuse(Deepseek4(ratios + R"(,"norm_topk_prob":false)"), kUnimplemented), "norm_topk_prob");
  names(
      Refuse(Deepseek4(ratios + R"(,"rope_scaling":{"type":"linear","factor":2})"), kUnimplemented),
      "rope_type");
}

TEST(MoeConfigTest, FurtherLayersOfGgufAreLeftOut) {
  const auto config = FromGguf(TinyDeepseek2Gguf().U32("deepseek2.nextn_predict_layers", 1));
  ASSERT_TRUE(config.ok()) << config.status().message();
  EXPECT_EQ(config->layers, 3u);
  EXPECT_FALSE(FromGguf(TinyDeepseek2Gguf().U32("deepseek2.nextn_predict_layers", 4)).ok());
}

TEST(MoeConfigTest, GgufOfOtherGatesOrSizesIsRefused) {
  const auto refused = [](const char* key, uint32_t value) {
    const auto config = FromGguf(TinyDeepseek2Gguf({{key, value}}));
    EXPECT_FALSE(config.ok()) << key;
    return config.ok() ? std::string() : config.status().message();
  };
  for (const auto& [key, value] : {std::pair("expert_gating_func", 4u),
                                   {"expert_used_count", 9u},
                                   {"attention.key_length_mla", 4u},
                                   {"attention.kv_lora_rank", 0u}}) {
    EXPECT_NE(refused(key, value).find(key), std::string::npos) << refused(key, value);
  }
}

}  // namespace
}  // namespace pelton
