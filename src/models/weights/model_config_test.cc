#include "models/weights/model_config.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <string>

#include "models/weights/config_checks.h"
#include "models/weights/file_images.h"
#include "models/weights/gguf.h"

namespace pelton {
namespace {

using test::Accept;
using test::AsBytes;
using test::GgufWriter;
using test::Refuse;
using test::TinyLlamaGguf;

constexpr std::string_view kBase =
    R"("hidden_size":64,"intermediate_size":96,"num_hidden_layers":4,"num_attention_heads":8,)"
    R"("vocab_size":100,"max_position_embeddings":256)";

std::string Json(std::string_view model_type, std::string_view more = "") {
  return "{\"model_type\":\"" + std::string(model_type) + "\"," + std::string(kBase) +
         std::string(more) + "}";
}

// A GGUF image opened in memory, for ConfigFromGguf.
struct OpenedImage {
  explicit OpenedImage(const GgufWriter& writer) : bytes(writer.Build()) {
    auto parsed = ParseGguf(AsBytes(bytes), "tiny.gguf");
    EXPECT_TRUE(parsed.ok()) << parsed.status().message();
    metadata = std::move(parsed->metadata);
    auto source = WeightSource::Create({.format = WeightFormat::kGguf,
                                        .files = {},
                                        .name_storage = {},
                                        .tensors = std::move(parsed->tensors)});
    EXPECT_TRUE(source.ok());
    weights.emplace(std::move(source).value());
  }
  Result<ModelConfig> Config() const { return ConfigFromGguf(metadata, *weights, "tiny.gguf"); }

  std::string bytes;
  GgufMetadata metadata;
  std::optional<WeightSource> weights;
};

std::string RefuseGguf(const GgufWriter& writer, StatusCode code = StatusCode::kDataLoss) {
  const OpenedImage image(writer);
  const auto config = image.Config();
  EXPECT_FALSE(config.ok());
  if (config.ok()) return "accepted";
  EXPECT_EQ(config.status().code(), code) << config.status().message();
  return config.status().message();
}

TEST(ModelConfigJsonTest, DefaultsOfLlama) {
  const ModelConfig config = Accept(Json("llama"));
  EXPECT_EQ(config.architecture, "llama");
  EXPECT_EQ(config.kv_heads, 8u);
  EXPECT_EQ(config.head_dim, 8u);
  EXPECT_EQ(config.rope.dims, 8u);
  EXPECT_EQ(config.rope.theta, 10000);
  EXPECT_FALSE(config.rope.interleaved);
  EXPECT_EQ(config.rope.scaling, RopeScaling::kNone);
  EXPECT_EQ(config.rms_epsilon, 1e-6);
  EXPECT_EQ(config.context_tokens, 256u);
  EXPECT_FALSE(config.tie_embeddings || config.qkv_bias || config.mlp_bias || config.qk_norm);
  EXPECT_EQ(config.sliding_window, 0u);
  EXPECT_EQ(config.windowed_layers, std::vector<bool>(4, false));
  EXPECT_DOUBLE_EQ(config.attention_scale, 1 / std::sqrt(8.0));
  EXPECT_FALSE(config.bos_id.has_value());
  EXPECT_TRUE(config.eos_ids.empty());
}

TEST(ModelConfigJsonTest, EosIsAnIdOrAList) {
  EXPECT_EQ(Accept(Json("llama", R"(,"eos_token_id":5)")).eos_ids, std::vector<uint32_t>{5});
  EXPECT_EQ(Accept(Json("llama", R"(,"eos_token_id":[7,3,7])")).eos_ids,
            (std::vector<uint32_t>{3, 7}));
  EXPECT_EQ(Accept(Json("llama", R"(,"eos_token_id":null,"bos_token_id":99)")).bos_id, 99u);
  for (const char* bad :
       {R"(,"eos_token_id":100)", R"(,"eos_token_id":-1)", R"(,"eos_token_id":[1,100])",
        R"(,"eos_token_id":[1.5])", R"(,"eos_token_id":"2")", R"(,"bos_token_id":100)",
        R"(,"eos_token_id":[[1]])"}) {
    Refuse(Json("llama", bad));
  }
}

TEST(ModelConfigJsonTest, RopeScalingOldAndNew) {
  const ModelConfig old_style =
      Accept(Json("llama", R"(,"rope_theta":500000,"rope_scaling":{"rope_type":"llama3",)"
                           R"("factor":8,"low_freq_factor":1,"high_freq_factor":4,)"
                           R"("original_max_position_embeddings":64})"));
  EXPECT_EQ(old_style.rope.scaling, RopeScaling::kLlama3);
  EXPECT_EQ(old_style.rope.theta, 500000);
  EXPECT_EQ(old_style.rope.factor, 8);
  EXPECT_EQ(old_style.rope.original_context_tokens, 64u);

  const ModelConfig new_style = Accept(
      Json("mistral", R"(,"rope_parameters":{"rope_type":"linear","factor":2,"rope_theta":1e6})"));
  EXPECT_EQ(new_style.rope.scaling, RopeScaling::kLinear);
  EXPECT_EQ(new_style.rope.theta, 1e6);
  EXPECT_EQ(new_style.rope.factor, 2);

  EXPECT_EQ(Accept(Json("qwen2", R"(,"rope_scaling":null)")).rope.scaling, RopeScaling::kNone);
  EXPECT_EQ(Accept(Json("llama", R"(,"partial_rotary_factor":0.5)")).rope.dims, 4u);
}

TEST(ModelConfigJsonTest, YarnExtendsTheContext) {
  const ModelConfig config = Accept(Json("qwen2", R"(,"rope_scaling":{"type":"yarn","factor":4})"));
  EXPECT_EQ(config.rope.scaling, RopeScaling::kYarn);
  EXPECT_EQ(config.rope.original_context_tokens, 256u);
  EXPECT_EQ(config.max_positions, 256u);
  EXPECT_EQ(config.context_tokens, 1024u);
  EXPECT_DOUBLE_EQ(config.rope.attention_factor, 0.1 * std::log(4.0) + 1);
  const ModelConfig mscale =
      Accept(Json("qwen2", R"(,"rope_scaling":{"type":"yarn","factor":40,"mscale":0.707,)"
                           R"("mscale_all_dim":0.707,"truncate":false,"beta_fast":16})"));
  EXPECT_DOUBLE_EQ(mscale.rope.attention_factor, 1);
  EXPECT_FALSE(mscale.rope.truncate);
  EXPECT_EQ(mscale.rope.beta_fast, 16);
  // Huge but permitted values stay below 2^31 positions.
  EXPECT_EQ(Accept(Json("qwen2", R"(,"rope_scaling":{"type":"yarn","factor":1e6,)"
                                 R"("original_max_position_embeddings":2147483647})"))
                .context_tokens,
            2147483647u);
}

TEST(ModelConfigJsonTest, BadScalingIsRefused) {
  for (
      const char* bad :
      {R"({"rope_type":"llama3","factor":8})", R"({"rope_type":"linear"})",
       R"({"rope_type":"linear","factor":0})", R"({"rope_type":"linear","factor":-2})",
       R"({"rope_type":"linear","factor":1e300})", R"({"type":"yarn"})", R"([])", R"("x")",
       R"({"rope_type":"longrope","short_factor":[1],"long_factor":[1,1,1,1]})",
       R"({"rope_type":"longrope","short_factor":[1,1,1,0],"long_factor":[1,1,1,1]})",
       R"({"rope_type":"longrope","long_factor":[1,1,1,1]})",
       R"({"rope_type":"llama3","factor":8,"low_freq_factor":4,"high_freq_factor":4,"original_max_position_embeddings":64})"}) {
    Refuse(Json("llama", std::string(",\"rope_scaling\":") + bad));
  }
  EXPECT_NE(Refuse(Json("llama", R"(,"rope_scaling":{"rope_type":"dynamic","factor":2})"),
                   StatusCode::kUnimplemented)
                .find("rope_scaling.rope_type: found \"dynamic\""),
            std::string::npos);
}

TEST(ModelConfigJsonTest, SlidingWindows) {
  const ModelConfig mistral = Accept(Json("mistral", R"(,"sliding_window":24)"));
  EXPECT_EQ(mistral.architecture, "llama");
  EXPECT_EQ(mistral.model_type, "mistral");
  EXPECT_EQ(mistral.sliding_window, 24u);
  EXPECT_EQ(mistral.windowed_layers, std::vector<bool>(4, true));
  EXPECT_EQ(Accept(Json("mistral", R"(,"sliding_window":null)")).sliding_window, 0u);
  EXPECT_EQ(Accept(Json("llama", R"(,"sliding_window":24)")).sliding_window, 0u);

  constexpr const char* kOff = R"(,"sliding_window":16,"use_sliding_window":false)";
  EXPECT_EQ(Accept(Json("qwen2", kOff)).sliding_window, 0u);
  EXPECT_EQ(Accept(Json("qwen2", R"(,"sliding_window":16)")).sliding_window, 0u);
  const ModelConfig upper =
      Accept(Json("qwen2", R"(,"sliding_window":16,"use_sliding_window":true,)"
                           R"("max_window_layers":3)"));
  EXPECT_EQ(upper.windowed_layers, (std::vector<bool>{false, false, false, true}));
  const ModelConfig listed =
      Accept(Json("qwen3", R"(,"sliding_window":16,"use_sliding_window":true,"layer_types":)"
                           R"(["sliding_attention","full_attention","full_attention",)"
                           R"("sliding_attention"])"));
  EXPECT_EQ(listed.windowed_layers, (std::vector<bool>{true, false, false, true}));
  Refuse(Json("mistral", R"(,"sliding_window":0)"));
  Refuse(Json("mistral", R"(,"sliding_window":2147483648)"));
  Refuse(Json("mistral", R"(,"sliding_window":4,"layer_types":["full_attention"])"));
  Refuse(Json("mistral", R"(,"sliding_window":4,"layer_types":["a","b","c","d"])"),
         StatusCode::kUnimplemented);
}

TEST(ModelConfigJsonTest, Gemma) {
  const ModelConfig gemma2 = Accept(Json("gemma2", R"(,"head_dim":16)"));
  EXPECT_EQ(gemma2.attention_soft_cap, 50);
  EXPECT_EQ(gemma2.final_soft_cap, 30);
  EXPECT_EQ(gemma2.norm_weight_offset, 1);
  EXPECT_EQ(gemma2.embedding_scale, 8);
  EXPECT_EQ(gemma2.activation, Activation::kGeluTanh);
  EXPECT_TRUE(gemma2.tie_embeddings && gemma2.post_norms);
  EXPECT_DOUBLE_EQ(gemma2.attention_scale, 1.0 / 16);
  EXPECT_EQ(gemma2.windowed_layers, (std::vector<bool>{true, false, true, false}));
  EXPECT_EQ(Accept(Json("gemma2", R"(,"attn_logit_softcapping":null)")).attention_soft_cap, 0);
  const ModelConfig gemma3 = Accept(
      Json("gemma3_text", R"(,"head_dim":16,"sliding_window_pattern":3,"rope_parameters":{)"
                          R"("full_attention":{"rope_type":"linear","factor":8,"rope_theta":1e6},)"
                          R"("sliding_attention":{"rope_type":"default","rope_theta":1e4}})"));
  EXPECT_EQ(gemma3.windowed_layers, (std::vector<bool>{true, true, false, true}));
  EXPECT_EQ(gemma3.rope.scaling, RopeScaling::kLinear);
  ASSERT_TRUE(gemma3.local_rope.has_value());
  EXPECT_EQ(gemma3.local_rope->theta, 1e4);
  EXPECT_EQ(gemma3.local_rope->scaling, RopeScaling::kNone);
}

TEST(ModelConfigJsonTest, GemmaInBothDirectionsIsRefused) {
  Accept(Json("gemma3_text", R"(,"head_dim":16,"use_bidirectional_attention":false)"));
  EXPECT_NE(Refuse(Json("gemma3_text", R"(,"head_dim":16,"use_bidirectional_attention":true)"),
                   StatusCode::kUnimplemented)
                .find("use_bidirectional_attention: found true, expected false"),
            std::string::npos);
}

TEST(ModelConfigJsonTest, Phi3) {
  const ModelConfig config =
      Accept(Json("phi3", R"(,"sliding_window":40,"partial_rotary_factor":0.5,)"
                          R"("original_max_position_embeddings":64,"attention_bias":true,)"
                          R"("rope_scaling":{"type":"su","short_factor":[1,2],)"
                          R"("long_factor":[3,4]})"));
  EXPECT_TRUE(config.fused_qkv && config.fused_gate_up);
  EXPECT_FALSE(config.qkv_bias || config.attention_output_bias);
  EXPECT_EQ(config.windowed_layers, std::vector<bool>(4, true));
  EXPECT_EQ(config.rope.scaling, RopeScaling::kLongRope);
  EXPECT_EQ(config.rope.dims, 4u);
  EXPECT_DOUBLE_EQ(config.rope.attention_factor, std::sqrt(1 + std::log(4.0) / std::log(64.0)));
  EXPECT_FALSE(UsesLongFactors(config, 64));
  EXPECT_TRUE(UsesLongFactors(config, 65));
  EXPECT_TRUE(UsesLongFactors(config, 0));  // as max_position_embeddings says
  EXPECT_FALSE(UsesLongFactors(Accept(Json("phi3")), 1000));

  // A model of one position does not say what its factor refers to.
  std::string one = Json("phi3", R"(,"rope_scaling":{"type":"longrope","factor":4,)"
                                 R"("short_factor":[1,1,1,1],"long_factor":[1,1,1,1]})");
  one.replace(one.find("256"), 3, "1");
  EXPECT_NE(Refuse(one).find("original_max_position_embeddings: found nothing, expected an "
                             "integer from 2"),
            std::string::npos);
}

// What DeepSeek-V3.2 states besides, with fields of its indexer.
std::string Indexed(std::string_view indexer, std::string_view q_rank = R"("q_lora_rank":24,)") {
  return Json("deepseek_v32",
              "," + std::string(q_rank) +
                  R"("kv_lora_rank":16,"qk_nope_head_dim":8,"qk_rope_head_dim":8,"v_head_dim":8,)"
                  R"("n_routed_experts":8,"num_experts_per_tok":2,"moe_intermediate_size":16,)"
                  R"("n_group":1,"topk_group":1)" +
                  std::string(indexer));
}

TEST(ModelConfigJsonTest, Indexers) {
  const ModelConfig config =
      Accept(Indexed(R"(,"index_n_heads":4,"index_head_dim":8,"index_topk":16)"));
  ASSERT_TRUE(config.indexer.has_value());
  EXPECT_EQ(config.indexer->heads, 4u);
  EXPECT_EQ(config.indexer->head_dim, 8u);
  EXPECT_EQ(config.indexer->top, 16u);
  EXPECT_EQ(config.architecture, "deepseek2");
  EXPECT_NE(Refuse(Indexed(R"(,"index_n_heads":4,"index_head_dim":8)")).find("index_topk"),
            std::string::npos);
  EXPECT_NE(Refuse(Indexed(R"(,"index_n_heads":4,"index_head_dim":7,"index_topk":16)"))
                .find("index_head_dim: found 7, expected an integer from 8 to"),
            std::string::npos)
      << "fewer lanes than turn";
  EXPECT_NE(Refuse(Indexed(R"(,"index_n_heads":4,"index_head_dim":8,"index_topk":16)", ""))
                .find("q_lora_rank"),
            std::string::npos)
      << "queries are made from the latent of queries";
}

TEST(ModelConfigJsonTest, EverySizeIsRangeChecked) {
  // B1's list of bad values, on every required size.
  for (const char* field : {"hidden_size", "intermediate_size", "num_hidden_layers",
                            "num_attention_heads", "vocab_size", "max_position_embeddings"}) {
    for (const char* value : {"0", "-1", "2147483648", "9223372036854775808", "1e308", "1.5",
                              "\"8\"", "true", "[]", "{}", "99999999999999999999"}) {
      std::string text = Json("llama");
      const std::string key = std::string("\"") + field + "\":";
      const size_t begin = text.find(key) + key.size();
      const size_t end = text.find_first_of(",}", begin);
      text.replace(begin, end - begin, value);
      const auto config = ConfigFromJson(text, "config.json");
      ASSERT_FALSE(config.ok()) << text;
      EXPECT_EQ(config.status().code(), StatusCode::kDataLoss) << config.status().message();
    }
    std::string text = Json("llama");
    text.replace(text.find(field), 3, "xyz");
    EXPECT_NE(Refuse(text).find(std::string(field) + ": found nothing, expected an integer"),
              std::string::npos);
  }
}

TEST(ModelConfigJsonTest, HeadsMustFit) {
  EXPECT_NE(Refuse(Json("llama", R"(,"num_key_value_heads":3)"))
                .find("num_key_value_heads: found 3, expected a divisor of num_attention_heads"),
            std::string::npos);
  Refuse(Json("llama", R"(,"num_key_value_heads":0)"));
  Refuse(Json("llama", R"(,"num_key_value_heads":16)"));
  Refuse(Json("llama", R"(,"head_dim":0)"));
  Refuse(Json("llama", R"(,"head_dim":7)"));  // rope turns pairs
  Refuse(Json("llama", R"(,"head_dim":5000)"));
  Refuse(Json("llama", R"(,"partial_rotary_factor":0)"));
  Refuse(Json("llama", R"(,"partial_rotary_factor":1.5)"));
  Refuse(Json("llama", R"(,"rms_norm_eps":0)"));
  Refuse(Json("llama", R"(,"rms_norm_eps":-1e-6)"));
  Refuse(Json("llama", R"(,"rope_theta":0)"));
  Refuse(Json("llama", R"(,"tie_word_embeddings":"yes")"));
}

TEST(ModelConfigJsonTest, Encoders) {
  const ModelConfig bert = Accept(Json("bert"));
  EXPECT_TRUE(bert.encoder);
  EXPECT_EQ(bert.activation, Activation::kGeluErf);
  EXPECT_EQ(bert.rms_epsilon, 1e-12);
  EXPECT_EQ(bert.token_types, 2u);
  EXPECT_EQ(bert.classes, 0u);
  const ModelConfig ranker =
      Accept(Json("bert", R"(,"layer_norm_eps":1e-6,"type_vocab_size":1,"id2label":{"0":"x"},)"
                          R"("architectures":["BertForSequenceClassification"])"));
  EXPECT_EQ(ranker.rms_epsilon, 1e-6);
  EXPECT_EQ(ranker.token_types, 1u);
  EXPECT_EQ(ranker.classes, 1u);
  EXPECT_EQ(Accept(Json("bert", R"(,"architectures":["BertForSequenceClassification"])")).classes,
            2u);
  Refuse(Json("bert", R"(,"type_vocab_size":0)"));
  Refuse(Json("bert", R"(,"id2label":{},"architectures":["BertForSequenceClassification"])"));
  Refuse(Json("bert", R"(,"position_embedding_type":"relative_key")"), StatusCode::kUnimplemented);
  Refuse(Json("bert", R"(,"is_decoder":true)"), StatusCode::kUnimplemented);
}

TEST(ModelConfigJsonTest, UnknownThingsAreNamed) {
  EXPECT_NE(Refuse(Json("mamba"), StatusCode::kUnimplemented)
                .find("model_type: found \"mamba\", expected one of bert, deepseek2, deepseek_v2, "
                      "deepseek_v3, deepseek_v32, deepseek_v4, gemma2, gemma3, gemma3_text, "
                      "gpt-oss, gpt_oss, llama, "
                      "mistral, mixtral, phi3, qwen2, qwen3, qwen3_moe, qwen3moe"),
            std::string::npos);
  Refuse(Json("llama", R"(,"hidden_act":"relu6")"), StatusCode::kUnimplemented);
  Refuse(Json("llama", R"(,"quantization_config":{"quant_method":"gptq","bits":4})"),
         StatusCode::kUnimplemented);
  const ModelConfig fp8 = Accept(Json(
      "qwen3", R"(,"quantization_config":{"quant_method":"fp8","weight_block_size":[128,64]})"));
  EXPECT_EQ(fp8.fp8_block_rows, 128u);
  EXPECT_EQ(fp8.fp8_block_cols, 64u);
  Refuse("{}");
  Refuse("[]");
  Refuse("");
  Refuse("{\"model_type\":\"llama\"");
  Refuse(Json("llama", R"(,"vocab_size":100)"));  // twice
}

TEST(ModelConfigJsonTest, GenerationConfigAddsEosAndSampling) {
  ModelConfig config = Accept(Json("llama", R"(,"eos_token_id":5)"));
  const Status status = AddGenerationConfig(
      R"({"eos_token_id":[9,5],"do_sample":true,"temperature":0.6,"top_p":0.9,"top_k":20,)"
      R"("repetition_penalty":1.05})",
      "generation_config.json", &config);
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(config.eos_ids, (std::vector<uint32_t>{5, 9}));
  EXPECT_EQ(config.sampling.sample, true);
  EXPECT_EQ(config.sampling.temperature, 0.6);
  EXPECT_EQ(config.sampling.top_p, 0.9);
  EXPECT_EQ(config.sampling.top_k, 20u);
  EXPECT_EQ(config.sampling.repetition_penalty, 1.05);
  EXPECT_FALSE(config.sampling.min_p.has_value());
  for (const char* bad : {R"({"eos_token_id":100})", R"({"temperature":-1})", R"({"top_p":1.5})",
                          R"({"top_k":-5})", R"({"temperature":"hot"})", "[]"}) {
    EXPECT_EQ(AddGenerationConfig(bad, "generation_config.json", &config).code(),
              StatusCode::kDataLoss)
        << bad;
  }
}

TEST(ModelConfigGgufTest, ReadsTheTinyLlama) {
  GgufWriter writer = TinyLlamaGguf();
  writer.U32("tokenizer.ggml.bos_token_id", 1).U32("tokenizer.ggml.eos_token_id", 2);
  writer.U32("tokenizer.ggml.eot_token_id", 3).F32("general.sampling.temp", 0.5f);
  writer.Add("rope_freqs.weight", {2}, 0, 0).Add("blk.0.attn_q.bias", {32}, 0, 32);
  writer.data_bytes = 160;
  OpenedImage image(writer);
  // The image's data is all ones: as floats 2.4e-38, too small a divisor.
  EXPECT_FALSE(image.Config().ok());
  const float divisors[2] = {1.0f, 8.0f};
  std::memcpy(image.bytes.data() + image.bytes.size() - 160, divisors, sizeof(divisors));
  const auto config = image.Config();
  ASSERT_TRUE(config.ok()) << config.status().message();
  EXPECT_EQ(config->architecture, "llama");
  EXPECT_EQ(config->name, "tiny");
  EXPECT_EQ(config->layers, 2u);
  EXPECT_EQ(config->hidden, 32u);
  EXPECT_EQ(config->head_dim, 4u);
  EXPECT_EQ(config->kv_heads, 2u);
  EXPECT_EQ(config->vocab, 16u);
  EXPECT_TRUE(config->rope.interleaved);
  EXPECT_EQ(config->rope.frequency_divisors, (std::vector<float>{1.0f, 8.0f}));
  EXPECT_TRUE(config->tie_embeddings);
  EXPECT_TRUE(config->qkv_bias);
  EXPECT_FALSE(config->attention_output_bias);
  EXPECT_EQ(config->bos_id, 1u);
  EXPECT_EQ(config->eos_ids, (std::vector<uint32_t>{2, 3}));
  EXPECT_EQ(config->sampling.temperature, 0.5);
}

GgufWriter TinyGguf(const std::string& architecture) {
  GgufWriter writer;
  writer.String("general.architecture", architecture)
      .F32(architecture + ".attention.layer_norm_rms_epsilon", 1e-5f);
  for (const auto& [name, size] : {std::pair<const char*, uint32_t>{"block_count", 6},
                                   {"embedding_length", 64},
                                   {"feed_forward_length", 64},
                                   {"context_length", 128},
                                   {"attention.head_count", 8},
                                   {"attention.head_count_kv", 2},
                                   {"attention.key_length", 16},
                                   {"attention.value_length", 16},
                                   {"vocab_size", 16}}) {
    writer.U32(architecture + "." + name, size);
  }
  return writer;
}

TEST(ModelConfigGgufTest, Gemma) {
  GgufWriter writer = TinyGguf("gemma2");
  writer.F32("gemma2.attn_logit_softcapping", 8).U32("gemma2.attention.sliding_window", 24);
  const auto gemma2 = OpenedImage(writer).Config();
  ASSERT_TRUE(gemma2.ok()) << gemma2.status().message();
  EXPECT_EQ(gemma2->norm_weight_offset, 0);  // the weights hold it
  EXPECT_EQ(gemma2->embedding_scale, 8);
  EXPECT_EQ(gemma2->attention_soft_cap, 8);
  EXPECT_EQ(gemma2->final_soft_cap, 30);
  EXPECT_EQ(gemma2->activation, Activation::kGeluTanh);
  EXPECT_TRUE(gemma2->post_norms && gemma2->tie_embeddings);
  EXPECT_FALSE(gemma2->fused_qkv || gemma2->fused_gate_up || gemma2->rope.interleaved);
  EXPECT_EQ(gemma2->windowed_layers, (std::vector<bool>{true, false, true, false, true, false}));

  writer = TinyGguf("gemma3");
  writer.String("gemma3.rope.scaling.type", "linear").F32("gemma3.rope.scaling.factor", 8);
  writer.Add("blk.0.attn_q_norm.weight", {16}, 0, 0);
  writer.data_bytes = 64;
  const auto gemma3 = OpenedImage(writer).Config();
  ASSERT_TRUE(gemma3.ok()) << gemma3.status().message();
  EXPECT_TRUE(gemma3->qk_norm && gemma3->post_norms);
  EXPECT_EQ(gemma3->attention_soft_cap, 0);
  EXPECT_EQ(gemma3->rope.theta, 1e6);
  EXPECT_EQ(gemma3->rope.factor, 8);
  ASSERT_TRUE(gemma3->local_rope.has_value());
  EXPECT_EQ(gemma3->local_rope->theta, 1e4);
  EXPECT_EQ(gemma3->local_rope->scaling, RopeScaling::kNone);
  EXPECT_EQ(gemma3->windowed_layers, (std::vector<bool>{true, true, true, true, true, false}));
}

TEST(ModelConfigGgufTest, Phi3) {
  GgufWriter writer = TinyGguf("phi3");
  writer.U32("phi3.rope.dimension_count", 4)
      .U32("phi3.rope.scaling.original_context_length", 64)
      .U32("phi3.attention.sliding_window", 40)
      .F32("phi3.rope.scaling.attn_factor", 1.25)
      .Add("rope_factors_long.weight", {2}, 0, 0)
      .Add("rope_factors_short.weight", {2}, 0, 32)
      .Add("blk.0.attn_qkv.weight", {1}, 0, 64);
  writer.data_bytes = 68;
  OpenedImage image(writer);
  const float long_factors[2] = {3, 4}, short_factors[2] = {1, 2};
  std::memcpy(image.bytes.data() + image.bytes.size() - 68, long_factors, sizeof(long_factors));
  std::memcpy(image.bytes.data() + image.bytes.size() - 36, short_factors, sizeof(short_factors));
  const auto config = image.Config();
  ASSERT_TRUE(config.ok()) << config.status().message();
  EXPECT_TRUE(config->fused_qkv && config->fused_gate_up && config->tie_embeddings);
  EXPECT_EQ(config->sliding_window, 40u);
  EXPECT_EQ(config->rope.scaling, RopeScaling::kLongRope);
  EXPECT_EQ(config->rope.long_factors, (std::vector<float>{3, 4}));
  EXPECT_EQ(config->rope.short_factors, (std::vector<float>{1, 2}));
  EXPECT_EQ(config->rope.attention_factor, 1.25);
  EXPECT_TRUE(UsesLongFactors(*config, 0));

  writer = TinyGguf("phi3");
  writer.U32("phi3.rope.scaling.original_context_length", 64)
      .Add("rope_factors_long.weight", {8}, 0, 0);
  writer.data_bytes = 32;
  OpenedImage without_short(writer);
  const std::vector<float> ones(8, 1.0f);
  std::memcpy(without_short.bytes.data() + without_short.bytes.size() - 32, ones.data(), 32);
  const auto refused = without_short.Config();
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.status().message().find("short factors: found 0 values, expected 8"),
            std::string::npos)
      << refused.status().message();
}

TEST(ModelConfigGgufTest, BadValuesAreRefused) {
  const auto with = [](auto change) {
    GgufWriter writer = TinyLlamaGguf();
    change(writer);
    return writer;
  };
  EXPECT_NE(RefuseGguf(with([](GgufWriter& w) { w.U32("llama.attention.key_length", 0); }))
                .find("tiny.gguf: metadata key \"llama.attention.key_length\": found 0, expected "
                      "an integer from 1 to 4096"),
            std::string::npos);
  RefuseGguf(with([](GgufWriter& w) { w.F32("llama.rope.freq_base", 0); }));
  RefuseGguf(with([](GgufWriter& w) {
    w.F32("llama.rope.freq_base", std::numeric_limits<float>::quiet_NaN());
  }));
  RefuseGguf(with([](GgufWriter& w) {
    w.F32("llama.rope.freq_base", std::numeric_limits<float>::infinity());
  }));
  RefuseGguf(with([](GgufWriter& w) { w.String("llama.rope.freq_base", "10000"); }));
  RefuseGguf(with([](GgufWriter& w) { w.U32("llama.rope.dimension_count", 3); }));
  RefuseGguf(with([](GgufWriter& w) { w.U32("llama.rope.dimension_count", 6); }));
  RefuseGguf(with([](GgufWriter& w) { w.U32("tokenizer.ggml.eos_token_id", 16); }));
  RefuseGguf(with([](GgufWriter& w) { w.U32("tokenizer.ggml.bos_token_id", 0xffffffff); }));
  RefuseGguf(with([](GgufWriter& w) { w.String("llama.rope.scaling.type", "yarn"); }));
  RefuseGguf(with([](GgufWriter& w) { w.String("llama.rope.scaling.type", "longrope"); }));
  RefuseGguf(with([](GgufWriter& w) { w.String("llama.rope.scaling.type", "odd"); }),
             StatusCode::kUnimplemented);
  RefuseGguf(with([](GgufWriter& w) { w.U32("llama.expert_count", 8); }));
  RefuseGguf(with([](GgufWriter& w) { w.U32("llama.attention.value_length", 8); }),
             StatusCode::kUnimplemented);
  RefuseGguf(with([](GgufWriter& w) {
    w.Add("token_embd.weight", {32, 15}, 0, 0);
    w.data_bytes = 32 * 15 * 4;
  }));
}

TEST(ModelConfigGgufTest, Cve20248063BlockCountOfZero) {
  // Values that become divisors or allocation sizes.
  for (const char* key :
       {"block_count", "embedding_length", "feed_forward_length", "context_length",
        "attention.head_count", "attention.head_count_kv", "vocab_size"}) {
    for (const uint32_t value : {0u, 0x80000000u, 0xffffffffu}) {
      GgufWriter writer;
      writer.String("general.architecture", "llama");
      writer.F32("llama.attention.layer_norm_rms_epsilon", 1e-5f);
      for (const auto& [name, good] : {std::pair<const char*, uint32_t>{"block_count", 2},
                                       {"embedding_length", 32},
                                       {"feed_forward_length", 64},
                                       {"context_length", 128},
                                       {"attention.head_count", 8},
                                       {"attention.head_count_kv", 2},
                                       {"vocab_size", 16}}) {
        const bool bad = std::string_view(name) == key;
        writer.U32(std::string("llama.") + name, bad ? value : good);
      }
      const std::string message = RefuseGguf(writer);
      EXPECT_NE(message.find(key), std::string::npos) << message;
    }
  }
}

TEST(ModelConfigGgufTest, ListsPerLayer) {
  const auto with_heads = [](const std::vector<int32_t>& heads) {
    GgufWriter writer;
    writer.String("general.architecture", "qwen2")
        .F32("qwen2.attention.layer_norm_rms_epsilon", 1e-5f)
        .U32("qwen2.block_count", 2)
        .U32("qwen2.embedding_length", 32)
        .U32("qwen2.feed_forward_length", 64)
        .U32("qwen2.context_length", 128)
        .Array("qwen2.attention.head_count", GgufType::kI32, heads)
        .Strings("tokenizer.ggml.tokens", {"a", "b", "c"});
    return writer;
  };
  const OpenedImage image(with_heads({4, 4}));
  const auto config = image.Config();
  ASSERT_TRUE(config.ok()) << config.status().message();
  EXPECT_EQ(config->heads, 4u);
  EXPECT_EQ(config->vocab, 3u);
  EXPECT_FALSE(config->rope.interleaved);
  RefuseGguf(with_heads({4, 8}), StatusCode::kUnimplemented);
  RefuseGguf(with_heads({4, 0}));
  RefuseGguf(with_heads({4, -4}));
  RefuseGguf(with_heads({}));
}

TEST(ModelConfigGgufTest, UnknownArchitecturesAreNamed) {
  GgufWriter none;
  EXPECT_NE(RefuseGguf(none).find("\"general.architecture\": found nothing"), std::string::npos);
  GgufWriter odd;
  odd.String("general.architecture", "\x1b]0;odd");
  EXPECT_NE(RefuseGguf(odd, StatusCode::kUnimplemented).find("found \"\\x1b]0;odd\""),
            std::string::npos);
}

}  // namespace
}  // namespace pelton
